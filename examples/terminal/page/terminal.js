// SPDX-License-Identifier: MIT
// xterm.js over a websocket: see terminal.lua for what is said on it.

const $ = (id) => document.getElementById(id);
const MAX_MESSAGE = 16384; // bytes of what is typed, or pasted, in one message
const ACKNOWLEDGE = 32768; // bytes that are drawn, after which the service is told
const AGAIN = [500, 8000]; // ms before a lost connection is tried again, at first and at most
const encoder = new TextEncoder();

// The page's colours and sixteen that can be read on them.
function theme() {
  const style = getComputedStyle(document.documentElement);
  const [background, foreground, cursor] = ["--panel", "--text", "--accent"].map((name) => style.getPropertyValue(name).trim());
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
  const usual = dark
    ? ["#30373e", "#ff8b80", "#64cc99", "#f0b45c", "#86bdf0", "#d09be0", "#6cc5c9", "#d4d9de"]
    : ["#1c2024", "#a3261c", "#1f6b45", "#8a5300", "#1b5a99", "#7a2a8c", "#0f6b70", "#5b6570"];
  const colours = { background, foreground, cursor, cursorAccent: background, selectionBackground: dark ? "#2b4660" : "#cfe3f5" };
  names.forEach((name, i) => {
    colours[name] = usual[i];
    colours["bright" + name[0].toUpperCase() + name.slice(1)] = usual[i];
  });
  return colours;
}

// No link that a program shows is opened.
const terminal = new window.Terminal({
  cursorBlink: true, fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace', fontSize: 14, scrollback: 5000, theme: theme(),
  linkHandler: { activate() {} },
});
const fit = new window.FitAddon.FitAddon();
let socket = null;
let live = false; // what the terminal answers to output that is shown again was answered before
let wait = AGAIN[0], timer = 0;

// What this tab comes back to its session by: no other origin sees it, not even one on another port, as it would a cookie.
const session = {
  get word() { return sessionStorage.getItem("session"); },
  keep(word) { sessionStorage.setItem("session", word); },
  forget() { sessionStorage.removeItem("session"); },
};

const say = (words) => { $("state").textContent = words; };
const send = (data) => { if (socket?.readyState === WebSocket.OPEN) socket.send(data); };
const sendSize = () => send(JSON.stringify({ rows: terminal.rows, cols: terminal.cols }));

function type(text) {
  if (!live) return;
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += MAX_MESSAGE) send(bytes.subarray(at, at + MAX_MESSAGE));
}

function ended({ error, exit_code, message }) {
  if (error) return `Not there: ${error}`;
  return exit_code === undefined ? `Ended: ${message}` : `Ended with exit status ${exit_code}`;
}

// What the service says beside output. Gives the page's last word, where that is one.
function hear(message, mine) {
  if (message.session) session.keep(message.session);
  else if (message.taken) say("Another page types in this session; reload this one to type here");
  else if (message.live) {
    terminal.write("", () => { // behind what is being drawn
      if (mine !== socket) return;
      live = true;
      wait = AGAIN[0];
      say("Connected");
    });
  } else if (message.gone) {
    session.forget();
    return "The session is over: nobody came back to it in time";
  } else {
    if (message.end) session.forget();
    return ended(message);
  }
  return "";
}

function connect() {
  clearTimeout(timer);
  socket?.close();
  live = false;
  const mine = new WebSocket(new URL("session", location.href.replace(/^http/, "ws")));
  socket = mine;
  mine.binaryType = "arraybuffer";
  let drawn = 0, last = "";
  say("Starting");
  mine.onopen = () => {
    terminal.write("\x1bc"); // a new screen, behind what is still being drawn of the old one
    send(JSON.stringify({ rows: terminal.rows, cols: terminal.cols, session: session.word ?? undefined }));
  };
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    if (typeof data === "string") {
      last = hear(JSON.parse(data), mine) || last;
      return;
    }
    terminal.write(new Uint8Array(data), () => {
      drawn += data.byteLength;
      if (drawn < ACKNOWLEDGE || mine !== socket) return;
      send(JSON.stringify({ seen: drawn }));
      drawn = 0;
    });
  };
  mine.onclose = () => {
    if (mine !== socket) return;
    live = false;
    const again = !last && session.word;
    say(last || (again ? "The connection is lost; trying again" : "The connection is lost, and the session with it"));
    if (!again) return;
    timer = setTimeout(connect, wait);
    wait = Math.min(2 * wait, AGAIN[1]);
  };
  terminal.focus();
}

// Ends the session that there is, and begins another.
function begin() {
  send(JSON.stringify({ over: true }));
  session.forget();
  connect();
}

terminal.loadAddon(fit);
terminal.open($("terminal"));
fit.fit();
terminal.onData(type);
terminal.onBinary((text) => live && send(Uint8Array.from(text, (c) => c.charCodeAt(0))));
terminal.onResize(sendSize);
terminal.attachCustomKeyEventHandler((event) => {
  if (!(event.ctrlKey && event.shiftKey && event.code === "KeyX")) return true;
  event.preventDefault();
  $("new").focus();
  return false;
});
new ResizeObserver(() => fit.fit()).observe($("terminal"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { terminal.options.theme = theme(); });
$("reader").addEventListener("change", (e) => { terminal.options.screenReaderMode = e.target.checked; });
$("new").addEventListener("click", begin);
// A page that is kept for the way back has no connection meanwhile.
addEventListener("pagehide", () => {
  clearTimeout(timer);
  const mine = socket;
  socket = null;
  mine?.close();
});
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
window.terminal = terminal; // for whoever looks at what it shows, as the tests do
connect();
