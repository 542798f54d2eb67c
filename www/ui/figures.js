// What a kept run is called, and its figures in a row of a table.

import { change, changeInterval, metric, ratio } from "../format.js";

/** The two methods as SPECs. */
export const setting = ({ reduce, prune }) => [reduce, prune].filter((spec) => spec !== "off").join(" + ") || "dense";

/** Quality, its change, and the two measured ratios, as [figure, what it rests on]. */
export function figures({ quality: [q], speed }) {
  const like = q?.baseline?.value;
  const range = (e, write) => (Number.isFinite(e?.low) ? `(${write(e.low)} to ${write(e.high)})` : "");
  const writes = (v) => metric(v, q?.unit, like);
  return [
    [writes(q?.compressed?.value), q ? `${q.label} n=${q.compressed?.n}` : ""],
    [change(q?.change?.value, q?.unit, like), q?.change ? `(${changeInterval(q.change, q.unit, like)})` : ""],
    [ratio(speed?.prefill_ratio?.value), range(speed?.prefill_ratio, ratio)],
    [ratio(speed?.decode_ratio?.value), range(speed?.decode_ratio, ratio)],
  ];
}
