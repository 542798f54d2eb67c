// The drawing: axes, whiskers, curves of each pair of methods, the frontier. Data comes placed, nothing is computed here.

import { svg } from "../whisker.js";
import { linear, padded, ticks } from "./scale.js";

/** Below this width an axis names no unit; the table and the figures of a point do. */
const NARROW = 420;
const MARGIN = { top: 22, right: 14, bottom: 40, left: 54 };
export const SERIES = 6;
/** A shape a series, so that colour is never alone. Each is drawn around 0, 0. */
const SHAPES = [
  "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
  "M-4 -4h8v8h-8z",
  "M0 -5.5L5 4H-5z",
  "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
  "M0 5.5L5 -4H-5z",
  "M-2 -5h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
];
/** The second round of colours has other shapes than the first. */
export const shapeOf = (at) => SHAPES[(at + Math.floor(at / SERIES)) % SHAPES.length];

/**
 * Draws `data` into `root` (an svg): { points, best, cost, yLabel, writeY, upward (more is better), here }. Points are placed and carry
 * `series` (a number), `control`, `source`, `name` (for a screen reader). Returns the marks, in the order of `points`.
 */
export function plot(root, width, height, { points, best, cost, yLabel, writeY, upward, here }) {
  /** @type {[number, number]} */
  const inner = [MARGIN.left, width - MARGIN.right];
  const xs = padded(points.flatMap(({ x }) => [x.value, x.low ?? x.value, x.high ?? x.value]));
  const ys = padded(points.flatMap(({ y }) => [y.value, y.low ?? y.value, y.high ?? y.value]));
  const x = linear(xs, cost.more ? inner : [inner[1], inner[0]]);
  const [low, high] = [height - MARGIN.bottom, MARGIN.top];
  const y = linear(ys, upward ? [low, high] : [high, low]);
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const marks = points.map((p) => mark(p, x, y, best.includes(p), `${p.point.reduce} ${p.point.prune}` === here));
  root.replaceChildren(axes(x, y, xs, ys, width, height, cost, yLabel, writeY), ...curves(points, x, y), path("frontier", best, x, y), ...order(points, marks));
  return marks;
}

/** Controls first, the newest last: what matters lies on top. */
function order(points, marks) {
  const rank = ({ control, source }) => (control ? 0 : source === "reference" ? 1 : 2);
  return points
    .map((p, i) => [rank(p), i])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .map(([, i]) => marks[i]);
}

function axes(x, y, xs, ys, width, height, cost, yLabel, writeY) {
  const bottom = height - MARGIN.bottom;
  const across = ticks(...xs, Math.max(3, Math.floor(width / 110))).map((v) =>
    svg(
      "g",
      { transform: `translate(${x(v)} ${bottom})` },
      svg("line", { class: "grid", y2: MARGIN.top - bottom }),
      svg("text", { class: "tick", y: 15, "text-anchor": "middle" }, cost.write(v, 0)),
    ),
  );
  const up = ticks(...ys, 5).map((v) =>
    svg(
      "g",
      { transform: `translate(${MARGIN.left} ${y(v)})` },
      svg("line", { class: "grid", x2: width - MARGIN.right - MARGIN.left }),
      svg("text", { class: "tick", x: -6, dy: "0.32em", "text-anchor": "end" }, writeY(v)),
    ),
  );
  const about = width < NARROW ? cost.kind : `${cost.unit}, ${cost.kind}`;
  const name = `${cost.label} (${about}) ${cost.more ? "" : "– less "}→`;
  return svg(
    "g",
    { class: "axes", "aria-hidden": "true" },
    ...across,
    ...up,
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
    svg("line", { class: "axis", x1: MARGIN.left, x2: MARGIN.left, y1: MARGIN.top, y2: bottom }),
    svg("text", { class: "label", x: width - MARGIN.right, y: height - 6, "text-anchor": "end" }, name),
    svg("text", { class: "label", x: 2, y: 11 }, yLabel),
  );
}

/** The points of a series in the order of their cost. */
function curves(points, x, y) {
  const series = new Map();
  for (const p of points) {
    const key = `${p.series} ${p.control}`;
    series.set(key, [...(series.get(key) ?? []), p]);
  }
  return [...series.values()]
    .filter((list) => list.length > 1)
    .map((list) => {
      list.sort((a, b) => a.x.value - b.x.value);
      const p = list.find(({ source }) => source !== "reference") ?? list[0];
      return path(`curve ${kind(p)}`, list, x, y);
    });
}

function path(name, list, x, y) {
  const d = list.map((p, i) => `${i ? "L" : "M"}${x(p.x.value).toFixed(1)} ${y(p.y.value).toFixed(1)}`).join("");
  return svg("path", { class: name, d, "aria-hidden": "true" });
}

const kind = ({ control, source, series }) => `${control ? "control" : `s${series % SERIES}`}${source === "reference" ? " reference" : ""}`;

function mark(p, x, y, isBest, isHere) {
  const [cx, cy] = [x(p.x.value), y(p.y.value)];
  const span = (at, low, high, upright) =>
    Number.isFinite(low) && Number.isFinite(high)
      ? svg("line", { class: "whiskers", ...(upright ? { y1: at(low) - cy, y2: at(high) - cy } : { x1: at(low) - cx, x2: at(high) - cx }) })
      : undefined;
  const lines = [span(y, p.y.low, p.y.high, true), span(x, p.x.low, p.x.high, false)].filter(Boolean);
  return svg(
    "g",
    {
      class: `mark ${kind(p)}${isBest ? " best" : ""}`,
      role: "button",
      tabindex: "-1",
      "aria-label": p.name,
      transform: `translate(${cx.toFixed(1)} ${cy.toFixed(1)})`,
    },
    svg("circle", { class: "target", r: 12 }),
    ...(isHere ? [svg("circle", { class: "here", r: 9 })] : []),
    ...lines,
    svg("path", { class: "shape", d: shapeOf(p.series) }),
  );
}
