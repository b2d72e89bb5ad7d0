// SPDX-License-Identifier: MIT
// The playground in a real Chromium: playground.mjs URL DIRECTORY [PICTURES]. A directory for pictures makes them, too.
import assert from "node:assert/strict";
import { Chromium, perform } from "../../support/chromium.mjs";

const [url, directory, pictures] = process.argv.slice(2);
const ready = 'document.body?.dataset.ready === ""';
const kind = 'document.querySelector("#verdict").dataset.kind';
const over = `["good", "bad", "limit"].includes(${kind})`;
const word = () => page.eval('document.querySelector("#word").textContent');
const shown = () => page.eval('document.querySelector("#text").textContent');
const picture = (name) => (pictures ? page.picture(`${pictures}/${name}.png`) : null);
const long = `print("begun", flush=True)\nimport time\nwhile True: time.sleep(1)\n`;

const browser = new Chromium(directory);
let page = await browser.page();

// What is in a field is replaced as with a keyboard.
async function fill(selector, text) {
  await page.click(selector);
  await page.key("a", true);
  await page.insert(text);
}
const program = (text) => fill(".CodeMirror-line", text);
const longest = async () => fill("#timeout", await page.eval('document.querySelector("#timeout").max'));
async function run(text) {
  await program(text);
  await page.click("#run");
  await page.until(over);
}

// The contrast of an element's text with what is behind it, by WCAG 2: (lighter + 0.05) / (darker + 0.05).
const contrast = (selector) => page.eval(`(() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let e = document.querySelector(${JSON.stringify(selector)});
  const text = light(getComputedStyle(e).color);
  while (/^rgba\\(.*, 0\\)$/.test(getComputedStyle(e).backgroundColor)) e = e.parentElement;
  const behind = light(getComputedStyle(e).backgroundColor);
  return (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05); })()`);

const tests = {
  async "is there, with its editor, and everything that can be used has a name"() {
    await page.screen(1200, 760);
    await page.goto(url, ready);
    assert.equal(await page.eval('document.querySelectorAll(".CodeMirror").length'), 1);
    const { nodes } = await page.send("Accessibility.getFullAXTree");
    const used = nodes.filter((n) => !n.ignored && ["button", "textbox", "combobox", "spinbutton", "meter", "log"].includes(n.role.value));
    assert.deepEqual(used.filter((n) => !n.name?.value).map((n) => n.role.value), []);
    assert.ok(used.length > 12, `${used.length} of them`);
    await picture("start");
  },
  async "shows output as it comes, and stops"() {
    await longest();
    await program(long);
    await page.key("Enter", true);
    await page.until('document.querySelector("#text").textContent === "begun\\n"');
    assert.equal(await page.eval(kind), "busy");
    await picture("running");
    await page.click("#stop");
    await page.until(over);
    assert.deepEqual([await word(), await shown()], ["Stopped", "begun\n"]);
  },
  async "runs with its input, and shows both streams, as text"() {
    await fill("#stdin", "<b>Ada</b>\n");
    await run(`import sys\nprint(input())\nprint("<img src=x onerror=alert(1)>", file=sys.stderr)\nprint("\\u202eabc\\x00")\n`);
    assert.equal(await word(), "Finished");
    assert.deepEqual((await shown()).split("\n").sort(), ["", "<b>Ada</b>", "<img src=x onerror=alert(1)>", "\u202eabc\0"].sort());
    assert.equal(await page.eval('document.querySelectorAll("#text :not(span)").length'), 0);
    assert.match(await page.eval('document.querySelector("#memory-text").textContent'), /^[\d.]+ MiB of 256 MiB$/);
    await picture("run");
  },
  async "names the limit that struck: output"() {
    await run("i = 0\nwhile True:\n    i += 1\n    print(i, 'x' * 70)\n");
    assert.equal(await word(), "Output limit reached");
    const chars = (await shown()).length;
    assert.ok(chars > 60000 && chars <= 65536, `${chars} characters`);
    await picture("flood");
  },
  async "names the limit that struck: time, with a bar that is full"() {
    await fill("#timeout", "1");
    await run(long);
    assert.equal(await word(), "Time limit reached");
    assert.ok(await page.eval('document.querySelector("#timeout-used").classList.contains("full")'));
    await picture("timeout");
  },
  async "is legible, light and dark"() {
    const seen = [];
    for (const dark of [false, true]) {
      await page.screen(1200, 760, dark);
      seen.push(await page.eval("getComputedStyle(document.body).backgroundColor"));
      for (const what of ["h1", "label", "#run", "#share", "#word", "#reason", "#keys", "#text", ".cm-keyword", ".cm-string", ".CodeMirror-linenumber", "#memory-text"]) {
        const ratio = await contrast(what);
        assert.ok(ratio >= 4.5, `${what}: ${ratio.toFixed(2)} with dark ${dark}`);
      }
      await picture(dark ? "dark" : "light");
    }
    assert.notEqual(seen[0], seen[1]);
  },
  async "has room on a narrow screen, where a result comes into view"() {
    await page.screen(320, 640);
    await longest();
    await run("print('x' * 3000)");
    assert.ok(await page.eval("document.scrollingElement.scrollWidth <= 320"), "scrolls sideways");
    assert.deepEqual(await page.eval(`[...document.querySelectorAll("button, input, select, textarea, pre, .track")].filter((e) => !e.closest(".CodeMirror")).filter((e) => e.getBoundingClientRect().right > 320).map((e) => e.id)`), []);
    assert.ok(await page.eval('document.querySelector("#verdict").getBoundingClientRect().bottom <= innerHeight'), "the verdict is out of view");
    await picture("narrow");
    await page.eval("scrollTo(0, 0)");
    await picture("narrow-top");
    await page.screen(1200, 760);
  },
  async "is left by the keyboard"() {
    const where = () => page.eval("document.activeElement.id || document.activeElement.tagName");
    await page.click(".CodeMirror-line");
    const editor = await where();
    await page.key("Tab");
    assert.equal(await where(), editor);
    await page.key("Escape");
    await page.key("Tab");
    assert.equal(await where(), "stdin");
  },
  async "shares by a link, which is looked at and not run"() {
    await fill("#timeout", "1.5");
    await program("print('shared ä')");
    await fill("#stdin", "in");
    await page.click("#share");
    const link = await page.until('document.querySelector("#link").open && document.querySelector("#address").value');
    await picture("share");
    assert.deepEqual(page.problems, []);
    page = await browser.page();
    await page.goto(link, ready);
    const here = () => page.eval('[document.querySelector(".CodeMirror").CodeMirror.getValue(), document.querySelector("#stdin").value, document.querySelector("#timeout").value]');
    assert.deepEqual([...(await here()), await page.eval(kind)], ["print('shared ä')", "in", "1.5", "idle"]);
    for (const bad of [link.replace(/.{9}$/, ""), `${url}#1.AAAA`, `${url}#nothing`]) {
      await page.eval(`location.href = ${JSON.stringify(bad)}`);
      await page.until(`${kind} === "bad"`);
      await page.eval(`${kind} = "idle"`);
    }
    // A few kilobytes that unpack to gigabytes are not unpacked.
    assert.equal(await page.eval(`import("./link.js").then(({ unpack }) => new Response(new Blob([new Uint8Array(1 << 24)]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer()
      .then((b) => unpack("1." + btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll("+", "-").replaceAll("/", "_"))).then(() => "unpacked", (e) => e.message))`), "too long");
  },
  async "bears a flood from whatever service"() {
    const [chars, dropped, pieces] = await page.eval(`import("./output.js").then(({ Output }) => {
      const text = document.querySelector("#text"), o = new Output(text, () => {});
      for (let i = 0; i < 20000; i++) { o.write("stdout", "x"); o.write("stderr", "yy"); }
      for (let i = 0; i < 100; i++) o.write("stdout", "z".repeat(100000));
      o.flush();
      return [text.textContent.length, o.dropped, text.childElementCount]; })`);
    assert.deepEqual([chars, dropped, pieces], [262144, 60000 + 100 * 100000 - 262144, 2000]);
  },
  async "works without its editor"() {
    page = await browser.page();
    await page.send("Network.enable");
    await page.send("Network.setBlockedURLs", { urls: ["*/vendor/*"] });
    await page.goto(url, ready);
    assert.equal(await page.eval('document.querySelectorAll(".CodeMirror").length'), 0);
    await longest();
    await fill("#code", "print(6 * 7)");
    await page.key("Enter", true);
    await page.until(over);
    assert.deepEqual([await word(), await shown()], ["Finished", "42\n"]);
    await picture("plain");
  },
};

await perform(browser, tests);
