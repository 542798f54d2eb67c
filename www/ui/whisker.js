// An interval in a line's height: the measured value, how far it may be off, and where nothing would have changed.

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 14];

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** @import { Estimate } from "../protocol.js" */

/**
 * `neutral` is the value of no change: 0 for a difference, 1 for a ratio. Decoration: the figures stand beside it. Without
 * an interval there is nothing to draw.
 * @param {Estimate} estimate
 * @param {number} neutral
 */
export function whisker({ value, low, high }, neutral) {
  if (value === null || low === null || high === null) return undefined;
  const reach = 1.15 * Math.max(Math.abs(low - neutral), Math.abs(high - neutral), Math.abs(value - neutral), 1e-9);
  const x = (v) => (WIDTH / 2) * (1 + (v - neutral) / reach);
  const mid = HEIGHT / 2;
  return svg(
    "svg",
    { class: "whisker", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    svg("line", { class: "neutral", x1: x(neutral), x2: x(neutral), y1: 0, y2: HEIGHT }),
    svg("line", { class: "interval", x1: x(low), x2: x(high), y1: mid, y2: mid }),
    svg("circle", { class: "value", cx: x(value), cy: mid, r: 3.5 }),
  );
}
