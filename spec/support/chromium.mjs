// SPDX-License-Identifier: MIT
// A Chromium that scripts look into and act in as people do, over its DevTools protocol: two pipes, and no package for it.
// https://chromedevtools.github.io/devtools-protocol/
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const PATIENCE = 120_000; // ms, of whatever is waited for: a busy machine may take its time
const FLAGS = ["--headless", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-proxy-server", "--hide-scrollbars"];

const KEYS = { Enter: [13, "\r"], Tab: [9, ""], Escape: [27, ""], Backspace: [8, ""], ArrowDown: [40, ""] };

class Page {
  problems = []; // what the page's console has to complain of
  loads = 0; // how often something was loaded into it
  constructor(browser, session) {
    this.browser = browser;
    this.session = session;
  }

  send(method, params) { return this.browser.send(method, params, this.session); }

  heard({ method, params }) {
    if (method === "Runtime.exceptionThrown") this.problems.push(params.exceptionDetails.exception?.description || params.exceptionDetails.text);
    if (method === "Page.loadEventFired") this.loads++;
    if (method === "Log.entryAdded" && params.entry.level === "error") this.problems.push(`${params.entry.text} ${params.entry.url || ""}`);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") this.problems.push(params.args.map((a) => a.value ?? a.description).join(" "));
  }

  /** The value of an expression in the page; a promise is waited for. */
  async eval(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description || exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const value = await this.eval(expression);
      if (value) return value;
      if (Date.now() > end) throw new Error(`not within ${PATIENCE / 1000} s: ${expression}\n${await this.eval("document.body.innerText")}`);
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  async goto(url, ready) {
    await this.send("Page.navigate", { url });
    await this.until(ready);
  }

  /** Makes it the tab that is looked at: another's timers are slow. */
  async front() { await this.send("Page.bringToFront"); }

  /** Loads it again. An expression that is asked for meanwhile may be of neither. */
  async reload(ready) {
    const before = this.loads, end = Date.now() + PATIENCE;
    await this.send("Page.reload");
    while (this.loads === before) {
      if (Date.now() > end) throw new Error(`not loaded again within ${PATIENCE / 1000} s`);
      await new Promise((wake) => setTimeout(wake, 50));
    }
    await this.until(ready);
  }

  /** A screen of this size; `dark` as the system's wish. */
  async screen(width, height, dark = false) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  }

  /** Clicks into the middle of what a selector finds, with the mouse: what is covered or hidden is not hit. */
  async click(selector) {
    const at = await this.eval(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.scrollIntoView({ block: "nearest" });
      const r = e.getBoundingClientRect(); return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()`);
    for (const type of ["mousePressed", "mouseReleased"]) await this.send("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
  }

  /** A key by its name, or a character; with ctrl held. */
  async key(key, ctrl = false) {
    const [code, text] = KEYS[key] || [key.toUpperCase().charCodeAt(0), key];
    const event = { key, code: KEYS[key] ? key : `Key${key.toUpperCase()}`, windowsVirtualKeyCode: code, modifiers: ctrl ? 2 : 0 };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event, text: ctrl ? "" : text });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Text where the cursor is. */
  async insert(text) { await this.send("Input.insertText", { text }); }

  async picture(file) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    writeFileSync(file, Buffer.from(data, "base64"));
  }
}

export class Chromium {
  #process;
  #waiting = new Map();
  #pages = new Map();
  #last = 0;

  /** One whose profile lies in `directory`. */
  constructor(directory) {
    this.#process = spawn("chromium", [...FLAGS, `--user-data-dir=${directory}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"], env: { ...process.env, HOME: directory } });
    let said = "", rest = [];
    this.#process.stderr.on("data", (data) => { said = (said + data).slice(-4000); });
    this.ended = new Promise((resolve) => this.#process.on("exit", resolve));
    this.ended.then(() => { for (const { reject } of this.#waiting.values()) reject(new Error(`Chromium has ended: ${said}`)); });
    this.#process.on("error", (e) => { for (const { reject } of this.#waiting.values()) reject(e); });
    this.#process.stdio[3].on("error", () => {});
    this.#process.stdio[4].on("data", (data) => {
      for (let at; (at = data.indexOf(0)) !== -1; data = data.subarray(at + 1)) {
        rest.push(data.subarray(0, at));
        this.#heard(JSON.parse(Buffer.concat(rest).toString()));
        rest = [];
      }
      rest.push(data);
    });
  }

  #heard(message) {
    if (!message.id) return this.#pages.get(message.sessionId)?.heard(message);
    const { resolve, reject } = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message)); else resolve(message.result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    });
  }

  /** A new page. */
  async page() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.#pages.set(sessionId, page);
    for (const domain of ["Runtime", "Log", "Page"]) await page.send(`${domain}.enable`);
    return page;
  }

  async close() {
    await this.send("Browser.close").catch(() => {});
    await this.ended;
  }
}

/** Does all tests, functions by name, one after the other, says how each went, and ends the browser; the process fails if one did. */
export async function perform(browser, tests) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    const began = Date.now();
    try {
      await test();
      console.log(`ok ${name} (${Date.now() - began} ms)`);
    } catch (e) {
      failed++;
      console.log(`failed: ${name}: ${e.message}`);
    }
  }
  await browser.close();
  console.log(failed ? `${failed} failed` : "passed");
  process.exitCode = failed ? 1 : 0;
}
