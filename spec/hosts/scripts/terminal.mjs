// SPDX-License-Identifier: MIT
// The web terminal in a real Chromium: terminal.mjs URL DIRECTORY RUNS [PICTURES]. RUNS is where the state of its sandboxes lies.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { Chromium, perform } from "../../support/chromium.mjs";

const [url, directory, runs, pictures] = process.argv.slice(2);
const screen = `Array.from({ length: terminal.rows }, (_, i) => terminal.buffer.active.getLine(terminal.buffer.active.viewportY + i)?.translateToString(true) ?? "").join("\\n")`;
const state = 'document.querySelector("#state").textContent';
const picture = (name) => (pictures ? page.picture(`${pictures}/terminal-${name}.png`) : null);

const browser = new Chromium(directory);
const page = await browser.page();
const shows = (pattern) => page.until(`${pattern}.test(${screen})`);
async function enter(line) {
  await page.insert(line);
  await page.key("Enter");
}

const tests = {
  async "is a shell"() {
    await page.screen(900, 560);
    await page.goto(url, `globalThis.terminal && ${state} === "Connected"`);
    await shows("/[$#] $/m");
    await enter("echo $((6 * 7)) $TERM; tty");
    await shows("/^42 xterm-256color\\n\\/dev\\/pts\\/\\d+$/m");
    await picture("shell");
  },
  async "follows the page's size"() {
    const before = await page.eval("terminal.cols");
    await page.screen(700, 400, true);
    await page.until(`terminal.cols < ${before}`);
    await enter("stty size");
    const [rows, cols] = await page.eval("[terminal.rows, terminal.cols]");
    await shows(`/^${rows} ${cols}$/m`);
    await picture("dark");
    await page.screen(900, 560);
    await page.until(`terminal.cols === ${before}`);
  },
  async "^C ends the program in the foreground, and not the shell"() {
    // From within the foreground's own group: a ^C between a shell's fork and that is nobody's, as anywhere.
    await enter("clear; sh -c \"echo be''gun; exec sleep 1000\"");
    await shows("/^begun$/m");
    await page.key("c", true);
    await enter("echo status $?");
    await shows("/^status 130$/m");
  },
  async "has programs that fill the screen"() {
    await enter("nvim --clean -n note.txt; echo le''ft");
    await shows("/^~$/m");
    await page.insert("ihello from the browser");
    await shows("/^hello from the browser$/m");
    await picture("editor");
    await page.key("Escape");
    await page.until(`!/INSERT/.test(${screen})`);
    await enter(":wq");
    await shows("/^left$/m");
    await enter("clear; cat note.txt; echo do''ne");
    await shows("/^hello from the browser\\ndone$/m");
  },
  async "bears a flood, which ^C ends"() {
    await enter("clear; yes 'a flood of lines'");
    await shows("/(a flood of lines\\n){5}/");
    await page.key("c", true);
    await enter("clear; echo still he''re");
    await shows("/^still here$/m");
    assert.ok((await page.eval("terminal.buffer.active.length")) <= 5000 + 200);
  },
  async "does nothing on behalf of what a program writes"() {
    const title = await page.eval("document.title");
    await enter(String.raw`clear; printf '\033]0;stolen\007\033]52;c;c3RvbGVu\007<b>text</b>\n'`);
    await shows("/^<b>text<\\/b>$/m");
    assert.equal(await page.eval("document.title"), title);
    assert.equal(await page.eval('document.querySelectorAll("#terminal b").length'), 0);
  },
  async "ends with its shell, and begins anew"() {
    await enter("exit 7");
    await page.until(`${state} === "Ended with exit status 7"`);
    await page.click("#new");
    await page.until(`${state} === "Connected"`);
    await shows("/[$#] $/m");
    await enter("ls note.txt");
    await shows("/No such file/");
  },
  async "goes when its page goes"() {
    const sandboxes = () => readdirSync(runs).filter((name) => name.startsWith("run-")).length;
    assert.ok(sandboxes() >= 1);
    assert.deepEqual(page.problems, []);
    await page.send("Page.navigate", { url: "about:blank" });
    const end = Date.now() + 120_000;
    while (sandboxes() > 0) {
      assert.ok(Date.now() < end, "its sandbox is still there");
      await new Promise((wake) => setTimeout(wake, 50));
    }
  },
};

await perform(browser, tests);
