// SPDX-License-Identifier: MIT
// The service's API as the page needs it: what it offers, and one run from its request to its end.

/** What the service answers where it does not do what it was asked: `message` is for people. */
export class Refused extends Error {}

async function ask(path, key, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Refused("The service does not answer.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(String(problem.detail || problem.message || `The service answers ${answer.status}.`).slice(0, 1000));
}

/** Languages and limits. */
export const offer = async () => (await ask("api/v3/service")).json();

const MAX_EVENT = 1 << 20; // characters; the service's own are far below

// Server-sent events out of a stream of text: onEvent(name, data, id) for each.
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    if (rest.length > MAX_EVENT) throw new Refused("The service sends an event without an end.");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const line of block.split("\n")) {
        const at = line.indexOf(":");
        if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).replace(/^ /, "");
      }
      if (fields.data !== undefined) onEvent(fields.event, JSON.parse(fields.data), fields.id);
    }
  }
}

const TRIES = 5; // of a connection that is lost in the middle of a run

/** One run. `handlers` has a function for each event that is of interest: state, stdout, stderr, restart, end. */
export class Run {
  #key;
  #cancelled = false;
  #id;

  constructor(key) {
    this.#key = key;
  }

  /** Resolves after `end`; rejects where there is no run, or no way to hear of it. */
  async start(request, handlers) {
    const answer = await ask("api/v3/runs", this.#key, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
    });
    this.#id = (await answer.json()).id;
    if (this.#cancelled) await this.cancel();
    await this.#follow(handlers);
  }

  async #follow(handlers) {
    let after = 0, ended = false;
    for (let tries = 0; !ended; tries++) {
      if (tries === TRIES) throw new Refused("The connection to the service is lost.");
      if (tries > 0) await new Promise((wake) => setTimeout(wake, 1000));
      try {
        const answer = await ask(`api/v3/runs/${this.#id}/events?after=${after}`, this.#key);
        if (answer.status === 204) throw new Refused("The run has ended without a word.");
        await readEvents(answer.body, (name, data, id) => {
          after = id || after;
          tries = 0;
          ended ||= name === "end";
          handlers[name]?.(data);
        });
      } catch (e) {
        if (e instanceof Refused || tries === TRIES - 1) throw e;
      }
    }
  }

  /** Ends it; what it has written until then stays. Works before the service has answered, and while the page is left. */
  async cancel() {
    this.#cancelled = true;
    if (this.#id) await ask(`api/v3/runs/${this.#id}`, this.#key, { method: "DELETE", keepalive: true });
  }
}
