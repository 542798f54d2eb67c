// What a measured setting (a Point of the engine) shows on the axes of the chart: where it lies, how sure that is, and
// which points nothing else beats.

import { megabytes, metric, percent, ratio } from "../../format.js";

/**
 * The costs that can be chosen. `of(point, entry)` is { value, low?, high? } or undefined where it was not counted or measured;
 * `more` says that more is better. Drawn so that better is to the right.
 */
export const COSTS = [
  {
    id: "strength",
    label: "Strength",
    unit: "of the method's main setting",
    kind: "as asked for",
    more: true,
    write: percent,
    of: (_, entry) => one(entry.strength),
  },
  {
    id: "flops",
    label: "Arithmetic",
    unit: "share of the dense model's operations",
    kind: "counted",
    write: percent,
    of: ({ cost }) => one(cost?.flops_share),
  },
  {
    id: "bytes",
    label: "Weights read per token",
    unit: "share of the dense model's bytes",
    kind: "counted",
    write: percent,
    of: ({ cost, prune }) => one(prune === "off" ? 1 : cost?.bytes_per_token / cost?.bytes_per_token_dense),
  },
  { id: "file", label: "File size", unit: "MB", kind: "counted", write: megabytes, of: ({ cost }) => one(cost?.file_bytes) },
  {
    id: "prefill",
    label: "Prefill speed",
    unit: "times the dense model's",
    kind: "measured",
    more: true,
    write: ratio,
    of: ({ speed }) => whole(speed?.prefill_ratio),
  },
  {
    id: "decode",
    label: "Decode speed",
    unit: "times the dense model's",
    kind: "measured",
    more: true,
    write: ratio,
    of: ({ speed }) => whole(speed?.decode_ratio),
  },
];

/** A figure that is absent or not finite is no figure. */
const one = (value) => (Number.isFinite(value) ? { value } : undefined);
const whole = (estimate) => (Number.isFinite(estimate?.value) ? estimate : undefined);

/** A metric of a point, by its name. */
export function quality(point, name) {
  return point.quality?.find((q) => q.metric === name && Number.isFinite(q.compressed?.value));
}

/** The points that have both figures, with what is drawn of them. `points` are { point, source, label, control, strength }. */
export function placed(points, cost, name) {
  return points.flatMap((entry) => {
    const x = cost.of(entry.point, entry);
    const q = quality(entry.point, name);
    if (!x || !q) return [];
    return [{ ...entry, x, y: q.compressed, quality: q }];
  });
}

/** Of the placed points those that no other beats in both, best cost first. Controls do not count. */
export function frontier(list, cost, higher) {
  const better = (a, b, more) => (more ? a > b : a < b);
  const runners = list.filter((p) => !p.control);
  runners.sort((a, b) => (cost.more ? b.x.value - a.x.value : a.x.value - b.x.value) || (higher ? b.y.value - a.y.value : a.y.value - b.y.value));
  const best = [];
  for (const p of runners) {
    if (best.length === 0 || better(p.y.value, best.at(-1).y.value, higher)) best.push(p);
  }
  return best;
}

/** What a point says when it is asked. */
export function words({ label, source, quality: q, x, point }, cost) {
  const { low, high, value, n } = q.compressed;
  const like = q.baseline?.value ?? value;
  const range = Number.isFinite(low) ? ` (${metric(low, q.unit, like)} to ${metric(high, q.unit, like)})` : "";
  const span = Number.isFinite(x.low) && x.low !== x.high ? ` (${cost.write(x.low)} to ${cost.write(x.high)})` : "";
  const many = point.complete === false ? `n=${n} so far` : `n=${n}`;
  const was = source === "reference" ? ", reference" : "";
  return `${label}${was}: ${q.label} ${metric(value, q.unit, like)}${range}, ${many}; ${cost.label.toLowerCase()} ${cost.write(x.value)}${span}`;
}
