// Two calls timed in turns (A B B A), so that both meet the same load, whatever else the machine does.
import { readFileSync, readdirSync } from "node:fs";

/** A turn is as many calls as take this long. */
const TURN_MS = 100;
const ROUNDS = 9;

/** Milliseconds a call of `repeat(which, times)` for which = 0 and 1, and the ratio of the second to the first: each
 *  a median with the middle half of the rounds. A round is A B B A, and its ratio is formed within it. */
export async function inTurns(repeat) {
  const times = [];
  for (const which of [0, 1]) {
    // Wasm is swapped for its optimised form while it runs, so the first calls say little.
    await repeat(which, 1);
    const ms = Math.min(await repeat(which, 1), await repeat(which, 1));
    times.push(Math.max(1, Math.ceil(TURN_MS / ms)));
    await repeat(which, times[which]);
  }
  const rounds = [[], []];
  const cpu = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const ms = [0, 0];
    for (const which of [0, 1, 1, 0]) {
      const before = cpuMs();
      ms[which] += (await repeat(which, times[which])) / 2;
      cpu[which] += (cpuMs() - before) / times[which];
    }
    for (const [which, value] of ms.entries()) rounds[which].push(value);
  }
  return {
    ms: rounds.map(middle),
    ratio: middle(rounds[0].map((ours, i) => rounds[1][i] / ours)),
    cpuRatio: cpu[1] / cpu[0],
  };
}

/** Median, and the quartiles between which the middle half lies. */
export function middle(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.round((sorted.length - 1) * part)];
  return { low: at(0.25), median: at(0.5), high: at(0.75) };
}

// CPU time of this process's descendants, which Chromium's are: what a call costs whatever else runs. Counted in
// hundredths of a second.
function cpuMs() {
  const parents = new Map();
  const used = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
      parents.set(pid, fields[1]);
      used.set(pid, (Number(fields[11]) + Number(fields[12])) * 10);
    } catch {
      // The process has ended.
    }
  }
  const own = String(process.pid);
  const ours = (pid) => parents.has(pid) && (parents.get(pid) === own || ours(parents.get(pid)));
  return [...used].reduce((sum, [pid, ms]) => (ours(pid) ? sum + ms : sum), 0);
}
