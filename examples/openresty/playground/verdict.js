// SPDX-License-Identifier: MIT
// What became of a run, in words: which limit struck, or how the program ended.

const LIMITS = { timeout: "Time", cpu_time: "Processor time", memory: "Memory", output: "Output", pids: "Process" };
const STRUCK = { timed_out: "timeout", cpu_exceeded: "cpu_time", oom_killed: "memory", output_exceeded: "output" };

const round = (n, digits) => Number(n.toFixed(digits)).toString();

/** A figure of a limit with its unit. */
export function figure(limit, value) {
  if (limit === "memory") return `${round(value / 2 ** 20, value < 10 * 2 ** 20 ? 1 : 0)} MiB`;
  if (limit === "output") return `${round(value / 1024, 1)} KiB`;
  if (limit === "pids") return round(value, 0);
  return `${value.toFixed(2)} s`;
}

function ended(result) {
  const limit = STRUCK[result.status];
  if (limit) return { kind: "limit", limit, word: `${LIMITS[limit]} limit reached` };
  if (result.status === "signaled") return { kind: "bad", word: `Ended by signal ${result.signal}` };
  if (result.status === "killed") return { kind: "bad", word: "Ended from outside" };
  if (result.exit_code !== 0) return { kind: "bad", word: `Exit status ${result.exit_code}` };
  return { kind: "good", word: "Finished" };
}

/** { kind = good | bad | limit, word, reason, limit } for a run that is over. */
export function verdictOf(run) {
  const result = run.result;
  if (run.state === "cancelled") return { kind: "bad", word: "Stopped", reason: result ? `after ${figure("timeout", result.duration)}` : "before it began" };
  if (!result) return { kind: "bad", word: "Not run", reason: run.error?.detail || "The service does not say why." };
  const verdict = ended(result);
  const reasons = [verdict.kind === "good" ? `exit status 0, ${figure("timeout", result.duration)}` : result.message || figure("timeout", result.duration)];
  // What struck without ending the program: no further process, output that is cut.
  for (const [limit, words] of Object.entries(LIMITS)) {
    if (result.limits?.[limit]?.hit && limit !== verdict.limit) reasons.push(`${words.toLowerCase()} limit (${figure(limit, result.limits[limit].requested)}) reached, too`);
  }
  return { ...verdict, reason: reasons.join("; ") };
}
