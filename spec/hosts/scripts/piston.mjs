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

r = await client.execute({ language: "python", version: ">=3.0.0 <4", files: [{ encoding: "base64", content: "eA==", name: "data" }, { content: "print(open('data').read())" , name: "m.py" }] });
assert.deepEqual([r.run.stdout, r.run.status], ["x\n", null]);

r = await client.execute("python", "x = []\nwhile True: x.append(bytearray(1 << 20))", { runMemoryLimit: 64 << 20 });
assert.deepEqual([r.run.signal, r.run.status, r.run.code], ["SIGKILL", "SG", null]);
assert.match(r.run.message, /64 MiB of memory used up/);
r = await client.execute("python", "while True: print('spam')");
assert.deepEqual([r.run.signal, r.run.status, r.run.message, r.run.stdout.length], ["SIGKILL", "OL", "stdout length exceeded", 65536]);
r = await client.execute("python", "import sys\nwhile True: sys.stderr.write('spam')");
assert.deepEqual([r.run.status, r.run.message], ["EL", "stderr length exceeded"]);

const again = async (main, more) => client.execute({ language: "c", version: "*", files: [{ name: "main.c", content: main }, { name: "f.h", content: "int f(void);" }, { name: "f.c", content: "int f(void) { return 7; }" }], compileTimeout: 15000, ...more });
const c = async (main, more) => { // a machine that is busy may not come to it within the service's time
  let r = await again(main, more);
  for (let i = 0; i < 5 && r.compile?.status === "TO"; i++) r = await again(main, more);
  return r;
};
r = await c('#include <stdio.h>\n#include "f.h"\nint main(int n, char **v) { printf("%d %s\\n", f(), v[n - 1]); return 2; }', { args: ["last"] });
assert.deepEqual([r.compile.code, r.compile.status, r.run.stdout, r.run.code, r.run.status], [0, null, "7 last\n", 2, "RE"]);
r = await c("int main(void) { return }");
assert.deepEqual([r.compile.code, r.compile.status, r.run], [1, "RE", undefined]);
assert.match(r.compile.stderr, /error/);
r = await c("int main(void) { return 0; }", { compileMemoryLimit: 4 << 20 });
assert.notEqual(r.compile.status, null);
assert.equal(r.run, undefined);

r = await client.execute("cobol", "STOP RUN.", { version: "*" });
assert.match(r.message, /cobol-\* runtime is unknown/);
console.log("client passed");
