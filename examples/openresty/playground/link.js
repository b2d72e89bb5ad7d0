// SPDX-License-Identifier: MIT
// What is in the page, in the fragment of its address, which no browser sends anywhere: "1." and the packed JSON in base64url.
// Whoever follows a link was given it by somebody: all of it is looked at, and nothing is run.

const MAX_LINK = 64 * 1024; // characters
const MAX_STATE = 512 * 1024; // bytes of JSON, unpacked

const TEXTS = ["language", "code", "stdin"];

async function through(bytes, transform, max) {
  const parts = [];
  let total = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(transform).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    total += value.length;
    if (total > max) {
      await reader.cancel();
      throw new RangeError("too long");
    }
    parts.push(value);
  }
}

/** The fragment for a state; null where it is too long for a link. */
export async function pack(state) {
  const bytes = new TextEncoder().encode(JSON.stringify(state));
  if (bytes.length > MAX_STATE) return null;
  const packed = new Uint8Array(await through(bytes, new CompressionStream("deflate-raw"), MAX_STATE));
  let text = "";
  for (let i = 0; i < packed.length; i += 4096) text += String.fromCharCode(...packed.subarray(i, i + 4096));
  text = "1." + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return text.length <= MAX_LINK ? text : null;
}

/** The state of a fragment: texts and limits that are what they should be, and no other. Rejects where it is no link of ours. */
export async function unpack(fragment) {
  if (!fragment.startsWith("1.") || fragment.length > MAX_LINK) throw new RangeError("no link of this page");
  const text = atob(fragment.slice(2).replaceAll("-", "+").replaceAll("_", "/"));
  const packed = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const bytes = await through(packed, new DecompressionStream("deflate-raw"), MAX_STATE);
  const found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  const state = { limits: {} };
  for (const name of TEXTS) if (typeof found?.[name] === "string") state[name] = found[name];
  for (const name of ["timeout", "cpu_time", "memory", "output", "pids"]) {
    const value = found?.limits?.[name];
    if (Number.isFinite(value) && value > 0) state.limits[name] = value;
  }
  return state;
}
