// Rows and the Markdown table they make.
const HEADINGS = ["what", "Whittle", "held against", "its figure", "ratio", "bar", "met", "by CPU time"];

/** A speed beside a peer's: how many times as long the peer takes; a bar where there is one. */
export function ratioRow({ what, peer, bar }, { ms, ratio, cpuRatio }) {
  const judged = bar === undefined ? ["none", ""] : [`>= ${bar}`, verdict(ratio.median >= bar)];
  return [what, spread(ms[0], "ms"), peer, spread(ms[1], "ms"), spread(ratio), ...judged, short(cpuRatio)];
}

/** A figure that has a limit. */
export function limitRow(what, figure, unit, limit) {
  const share = `${short(figure.median / limit)} of it`;
  return [what, spread(figure, unit), "limit", `${limit} ${unit}`, share, "<= 1", verdict(figure.median <= limit), ""];
}

/** A figure that has a limit, or none, beside that of an earlier version where there is one. */
export function earlierRow(what, unit, limit, now, earlier) {
  const [peer, figure, ratio] = earlier?.figure ? [earlier.name, spread(earlier.figure, unit), short(earlier.figure.median / now.median)] : ["", "", ""];
  const [bar, met] = limit === undefined ? ["", ""] : [`<= ${limit} ${unit}`, verdict(now.median <= limit)];
  return [what, spread(now, unit), peer, figure, ratio, bar, met, ""];
}

export function table(rows) {
  const lines = [HEADINGS, HEADINGS.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return lines.join("\n");
}

/** A figure that does not vary. */
export const fixed = (n) => ({ low: n, median: n, high: n });

const verdict = (met) => (met ? "yes" : "no");

/** "median unit (low to high)"; the middle half is left out where nothing varies. */
export function spread({ low, median, high }, unit) {
  const middle = low === high ? [] : [`(${short(low)} to ${short(high)})`];
  return [short(median), ...(unit ? [unit] : []), ...middle].join(" ");
}

/** Three digits. Errors: what was to be measured was not. */
function short(n) {
  if (!Number.isFinite(n)) throw new Error(`found a figure of ${n}; expected a number that was measured`);
  return n >= 100 ? n.toFixed(0) : n.toPrecision(3);
}
