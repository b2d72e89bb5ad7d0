// SPDX-License-Identifier: MIT
// The web terminal in a real Chromium: terminal.mjs URL DIRECTORY RUNS NGINX CONF [PICTURES]. RUNS is where the state of its sandboxes lies,
// NGINX the process id of its master, CONF what that reads.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Chromium, perform } from "../../support/chromium.mjs";

const [url, directory, runs, nginx, conf, pictures] = process.argv.slice(2);
const screen = `Array.from({ length: terminal.rows }, (_, i) => terminal.buffer.active.getLine(terminal.buffer.active.viewportY + i)?.translateToString(true) ?? "").join("\\n")`;
const state = 'document.querySelector("#state").textContent';
const picture = (name) => (pictures ? page.picture(`${pictures}/terminal-${name}.png`) : null);

const browser = new Chromium(directory);
const page = await browser.page();
const connected = `globalThis.terminal && ${state} === "Connected"`;
const shows = (pattern, where = page) => where.until(`${pattern}.test(${screen})`);
async function enter(line, where = page) {
  await where.insert(line);
  await where.key("Enter");
}

// Does what takes the connection away, and waits until the page has come back by itself.
async function lose(how) {
  await page.eval(`globalThis.said = []; new MutationObserver(() => said.push(${state})).observe(document.querySelector("#state"), { childList: true })`);
  how();
  await page.until(`said.some((words) => /lost; trying/.test(words)) && ${connected}`);
}

const tests = {
  async "is a shell"() {
    await page.screen(900, 560);
    await page.goto(url, connected);
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
  async "has programs that fill the screen, which are there after a reload"() {
    await enter("word=kept; clear; nvim --clean -n note.txt; echo le''ft");
    await shows("/^~$/m");
    await page.insert("ihello from the browser");
    await shows("/^hello from the browser$/m");
    await picture("editor");
    await page.reload(connected);
    await shows("/^hello from the browser\\n~(.*\\n)*.*INSERT/m");
    await picture("again");
    await page.insert(", reloaded");
    await shows("/^hello from the browser, reloaded$/m");
    await page.key("Escape");
    await page.until(`!/INSERT/.test(${screen})`);
    await enter(":wq");
    await shows("/^left$/m");
    await enter("clear; cat note.txt; echo do''ne");
    await shows("/^hello from the browser, reloaded\\ndone$/m");
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
    // A question to the terminal, which its page answers: once, and not again where it is shown again, as it is in the next test.
    await enter(String.raw`clear; read -rsd c -p $'\033[c' answer; printf '\033]0;stolen\007\033]52;c;c3RvbGVu\007<b>text</b>\n'`);
    await shows("/^<b>text<\\/b>$/m");
    assert.equal(await page.eval("document.title"), title);
    assert.equal(await page.eval('document.querySelectorAll("#terminal b").length'), 0);
  },
  async "comes back when nginx's worker is killed, and when nginx is reloaded"() {
    const worker = () => Number(readFileSync(`/proc/${nginx}/task/${nginx}/children`, "utf8").trim().split(" ").at(-1));
    const killed = worker();
    await lose(() => process.kill(killed, "SIGKILL"));
    assert.notEqual(worker(), killed);
    await shows("/^<b>text<\\/b>$/m"); // what was there before
    await enter("echo $word by ano''ther worker"); // the first word of the line: an answer typed before it would spoil it
    await shows("/^kept by another worker$/m");
    // Sessions that are begun from now on are not kept for long.
    writeFileSync(conf, readFileSync(conf, "utf8").replace(/session_keep \d+/, "session_keep 1"));
    await lose(() => process.kill(Number(nginx), "SIGHUP"));
    await enter("clear; echo $word by ano''ther nginx");
    await shows("/^kept by another nginx$/m");
  },
  async "has its session taken over by another tab that knows its word, and by none that knows its id"() {
    const word = await page.eval('sessionStorage.getItem("session")');
    const second = await browser.page();
    await second.goto(`${url}terminal.css`, "document.readyState === 'complete'");
    assert.deepEqual(JSON.parse(await second.eval(`new Promise((told) => {
      const socket = new WebSocket("${url.replace("http", "ws")}session");
      socket.onopen = () => socket.send('{"rows":24,"cols":80,"session":"${word.replace(/\..*/, `.${"0".repeat(32)}`)}"}');
      socket.onmessage = ({ data }) => told(data);
      socket.onclose = () => told('"closed"');
    })`)), { gone: true });
    await second.eval(`sessionStorage.setItem("session", "${word}")`);
    await second.goto(url, connected);
    await shows("/^kept by another nginx$/m", second);
    await enter("clear; echo $word by ano''ther tab", second);
    await shows("/^kept by another tab$/m", second);
    await shows("/^kept by another tab$/m"); // which the first one only sees
    await enter("echo not ta''ken");
    await page.until(`/^Another page types/.test(${state})`);
    await page.front();
    await page.reload(connected);
    await shows("/^kept by another tab$/m");
    await enter("clear; echo $word by the fir''st");
    await shows("/^kept by the first$/m");
    assert.doesNotMatch(await page.eval(screen), /not taken/);
    await second.send("Page.navigate", { url: "about:blank" });
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
