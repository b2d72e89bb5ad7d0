// SPDX-License-Identifier: MIT
// A client of Piston's from npm against the service: piston.mjs CLIENT-DIRECTORY URL
import assert from "node:assert/strict";

const [directory, server] = process.argv.slice(2);
const { piston } = await import(`${directory}/node_modules/piston-client/index.js`);
const client = piston({ server });

const runtimes = await client.runtimes();
assert.ok(Array.isArray(runtimes), JSON.stringify(runtimes));
const python = runtimes.find((r) => r.language === "python");
assert.match(python.version, /^3\.\d+\.\d+$/);
assert.ok(python.aliases.includes("py"));

let r = await client.execute("python", "print(6 * 7)");
assert.deepEqual([r.language, r.version, r.run.stdout, r.run.stderr, r.run.code, r.run.signal], ["python", python.version, "42\n", "", 0, null]);

r = await client.execute({
  language: "python", version: "3.x", stdin: "from stdin\n", args: ["a", "b c"],
  files: [{ name: "prog.py", content: "import sys, helper\nprint(input(), sys.argv[1:], helper.x)\nsys.exit(3)" }, { name: "helper.py", content: "x = 7" }],
});
assert.deepEqual([r.run.stdout, r.run.code, r.run.status], ["from stdin ['a', 'b c'] 7\n", 3, "RE"]);

r = await client.execute("python", "while True: pass", { runTimeout: 500 });
assert.deepEqual([r.run.signal, r.run.status], ["SIGKILL", "TO"]);

r = await client.execute("cobol", "STOP RUN.", { version: "*" });
assert.match(r.message, /cobol-\* runtime is unknown/);
console.log("client passed");
