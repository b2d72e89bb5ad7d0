// SPDX-License-Identifier: MIT
// The page: what is in its fields becomes a run, and what is heard of the run is shown.
import { editorOver } from "./editor.js";
import { pack, unpack } from "./link.js";
import { Output } from "./output.js";
import { INPUT, SAMPLES } from "./samples.js";
import { offer, Refused, Run } from "./service.js";
import { figure, verdictOf } from "./verdict.js";

const $ = (id) => document.getElementById(id);
const UNITS = { timeout: 1, cpu_time: 1, memory: 2 ** 20, output: 1024, pids: 1 }; // of the limits' fields

const editor = editorOver($("code"), { onRun: () => start(), onChange: forget, label: "Program" });
const output = new Output($("text"), ({ chars, dropped }) => {
  const shown = chars ? `${chars.toLocaleString("en")} characters` : "";
  $("shown").textContent = dropped ? `${shown}; ${dropped.toLocaleString("en")} more are not shown` : shown;
});
let running = null; // the Run, while there is one
let limitsOffered = {};

// Verdict and bars -------------------------------------------------------------------------------------------------------

function say(kind, word, reason = "") {
  $("verdict").dataset.kind = kind;
  $("word").textContent = word;
  $("reason").textContent = reason;
}

// `used` is null where nobody can know it, and undefined before it is known.
function bar(limit, used, of) {
  const track = $(`${limit}-used`);
  const share = Math.min(1, (used ?? 0) / of) || 0;
  track.firstElementChild.style.width = `${share * 100}%`;
  track.classList.toggle("full", share >= 1);
  track.setAttribute("aria-valuemax", of || 1);
  track.setAttribute("aria-valuenow", Math.min(used ?? 0, of || 1));
  const text = of ? `${used === undefined ? "–" : used === null ? "not known" : figure(limit, used)} of ${figure(limit, of)}` : "";
  track.setAttribute("aria-valuetext", text);
  $(`${limit}-text`).textContent = text;
}

function bars(limits, used) {
  bar("timeout", used.duration, limits.timeout);
  bar("cpu_time", used.cpu_time, limits.cpu_time || limits.timeout);
  bar("memory", used.peak_memory, limits.memory);
}

// Fields -----------------------------------------------------------------------------------------------------------------

function limits() {
  const found = {};
  for (const [name, unit] of Object.entries(UNITS)) {
    if ($(name).value !== "") found[name] = unit === 1 ? $(name).valueAsNumber : Math.round($(name).valueAsNumber * unit);
  }
  return found;
}

function setLimits(wanted) {
  for (const [name, unit] of Object.entries(UNITS)) {
    const { default: usual, maximum } = limitsOffered[name] || {};
    if (maximum) $(name).max = maximum / unit;
    const value = Math.min(wanted[name] ?? usual ?? NaN, maximum ?? Infinity) / unit;
    $(name).value = Number.isFinite(value) ? Number(value.toFixed(3)) : "";
  }
}

function choose(language) {
  const isSample = editor.value === "" || Object.values(SAMPLES).includes(editor.value);
  $("language").value = language;
  editor.language(language);
  if (isSample) editor.value = SAMPLES[language] || "";
}

const state = () => ({ language: $("language").value, code: editor.value, stdin: $("stdin").value, limits: limits() });

// A link says what it said: once that is changed, the address is no link to what is here.
function forget() {
  if (location.hash) history.replaceState(null, "", location.pathname);
}

// A run ------------------------------------------------------------------------------------------------------------------

function busy(is) {
  $("run").disabled = is;
  $("stop").disabled = !is;
}

// The clock's bar runs on while nothing is heard; the service's figures replace it in the end.
function clock(limit) {
  const began = performance.now();
  const timer = setInterval(() => bar("timeout", Math.min((performance.now() - began) / 1000, limit), limit), 100);
  return () => clearInterval(timer);
}

async function start() {
  if (running) return;
  const wrong = document.querySelector("fieldset input:invalid");
  if (wrong) return wrong.reportValidity();
  const { language, code, stdin, limits } = state();
  let stopClock = () => {};
  running = new Run($("key").value);
  busy(true);
  output.clear();
  bars(limits, {});
  say("busy", "Waiting", "for the service");
  // On a narrow screen it is below the program.
  if ($("verdict").getBoundingClientRect().bottom > innerHeight) $("verdict").scrollIntoView();
  try {
    await running.start({ language, code, stdin, limits }, {
      state: ({ state }) => {
        if (state !== "running") return say("busy", "Waiting", "for a place to run");
        stopClock();
        stopClock = clock(limits.timeout);
        say("busy", "Running");
      },
      stdout: ({ data }) => output.write("stdout", data),
      stderr: ({ data }) => output.write("stderr", data),
      restart: () => { output.clear(); say("busy", "Running", "again: the machine that ran it was lost"); },
      end: (run) => {
        stopClock();
        output.flush();
        const { kind, word, reason } = verdictOf(run);
        say(kind, word, reason);
        if (run.result) bars(limits, run.result);
        if (!output.chars) $("shown").textContent = "nothing was written";
      },
    });
  } catch (e) {
    say("bad", "Not run", e instanceof Refused ? e.message : "The page cannot go on.");
    if (!(e instanceof Refused)) console.error(e);
  }
  stopClock();
  running = null;
  const leaving = document.activeElement === $("stop");
  busy(false);
  if (leaving) $("run").focus();
}

async function stop() {
  say("busy", "Stopping");
  await running?.cancel().catch((e) => say("bad", "Not stopped", e.message));
}

// Links ------------------------------------------------------------------------------------------------------------------

async function share() {
  const fragment = await pack(state());
  if (!fragment) return say("bad", "No link", "what is here is too long for an address");
  history.replaceState(null, "", `#${fragment}`);
  $("address").value = location.href;
  $("link").showModal();
  $("address").select();
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  $("copied").textContent = copied ? "Copied." : "Copy it from here.";
}

async function open(fragment) {
  if (!fragment) return;
  try {
    const { language, code = "", stdin = "", limits } = await unpack(fragment);
    if (![...$("language").options].some((o) => o.value === language)) return say("bad", "Not opened", "this service does not have the link's language");
    choose(language);
    editor.value = code;
    $("stdin").value = stdin;
    setLimits(limits);
    history.replaceState(null, "", `#${fragment}`);
    say("idle", "Ready", "Opened from a link. Look at it before you run it.");
  } catch {
    say("bad", "Not opened", "the link is damaged, or not one of this page");
  }
}

async function begin() {
  $("run").addEventListener("click", start);
  $("stop").addEventListener("click", stop);
  $("share").addEventListener("click", share);
  $("language").addEventListener("change", () => { forget(); choose($("language").value); });
  for (const field of document.querySelectorAll("#stdin, fieldset input")) field.addEventListener("input", forget);
  addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && !e.defaultPrevented) start();
  });
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  addEventListener("pagehide", () => running?.cancel().catch(() => {}));
  const link = location.hash.slice(1);
  try {
    const service = await offer();
    limitsOffered = service.limits;
    for (const { language, version } of service.languages) $("language").append(new Option(`${language} ${/^\d+\.\d+/.exec(version) ?? ""}`, language));
    $("key").hidden = $("key-label").hidden = service.authentication !== "bearer";
  } catch (e) {
    busy(false);
    $("run").disabled = true;
    return say("bad", "Not ready", e.message);
  }
  setLimits({});
  bars(limits(), {});
  $("stdin").value = INPUT;
  choose($("language").value);
  await open(link);
  document.body.dataset.ready = "";
}

begin();
