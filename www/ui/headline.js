// The answer in five figures: what it costs in quality, what it gains in time and size. A measured figure has an interval
// and a solid card; a counted one has neither.

import { change, changeInterval, count, percent, ratio, writtenInterval } from "../format.js";
import { byId, el, part } from "./dom.js";
import { mark } from "./lasting.js";
import { whisker } from "./whisker.js";

const WORDS = {
  better: "better than before",
  worse: "worse than before",
  not_significant: "may be no change at all",
  too_few: "too few items to tell",
  none: "no verdict yet",
};
const UNDEFINED = "not defined on these items";

/** @returns {import("../state.js").Panel} */
export function headline() {
  const root = byId("headline");
  const cards = ["quality", "prefill", "decode", "weights", "flops"].map((name) => {
    const node = el("div", { class: `card-figure ${name}` });
    root.append(node);
    return [node, part(node, draw[name]), OF[name]];
  });
  return (view) => {
    const run = view?.run;
    for (const [node, draw, [source, pick]] of cards) {
      draw(run ? pick(run) : undefined);
      mark(node, run?.was?.includes(source) ?? false);
    }
  };
}

/** Card -> the part of the run that it rests on, and what it takes from it. */
const OF = {
  quality: ["quality", (run) => run.quality?.[0]],
  prefill: ["speed", (run) => run.speed?.prefill_ratio],
  decode: ["speed", (run) => run.speed?.decode_ratio],
  weights: ["cost", (run) => run.cost?.decode ?? (run.cost ? { none: true } : undefined)],
  flops: ["cost", (run) => run.cost?.flops_saved_total],
};

const draw = {
  quality(found) {
    if (!found) return waiting("Quality", "while items are scored", "measured");
    const { label, change: c, unit, baseline, verdict: said, items, items_total: all } = found;
    const words = said === "none" && items === all ? UNDEFINED : WORDS[said];
    return drawn(
      ...figure(label, change(c.value, unit, baseline.value), "measured"),
      whisker(c, 0),
      el("p", {}, el("strong", { class: said }, words), ` (${changeInterval(c, unit, baseline.value)}, n=${count(c.n)})`),
    );
  },
  prefill: (found) => pace("Prefill", "reads", found),
  decode: (found) => pace("Decode", "writes", found),
  weights(found) {
    if (!found) return waiting("Weights read", "when the run starts", "counted");
    if (found.none) return [...figure("Weights read", ratio(1), "counted"), el("p", {}, "no weight was pruned")];
    return [...figure("Weights read", ratio(found.bytes / found.bytes_dense), "counted"), el("p", {}, "bytes for one token")];
  },
  flops(found) {
    if (typeof found !== "number") return waiting("Arithmetic", "when the run starts", "counted");
    return [...figure("Arithmetic", ratio(1 - found), "counted"), el("p", {}, `${percent(found)} of the operations saved`)];
  },
};

const figure = (label, value, kind) => [el("h3", {}, label, " ", el("span", { class: "tag" }, kind)), el("b", {}, value)];

const waiting = (label, when, kind) => [...figure(label, "–", kind), el("p", {}, when)];

/** An interval of a ratio wider than this says nothing about "as fast". */
const NOISY = 0.3;

const drawn = (...nodes) => nodes.filter((node) => node !== undefined);

/** `does` is what the word means to who does not know it. */
function pace(label, does, found) {
  if (!found) return waiting(label, "measured last", "measured");
  return drawn(
    ...figure(label, ratio(found.value), "measured"),
    whisker(found, 1),
    el("p", {}, el("strong", {}, paceWords(does, found)), ` (${writtenInterval(found, ratio)})`),
  );
}

/** @param {string} does @param {import("../protocol.js").Estimate} ratio */
function paceWords(does, { low, high }) {
  if (low === null || high === null) return "too few rounds to tell";
  if (low > 1) return `${does} faster`;
  if (high < 1) return `${does} slower`;
  return high - low > NOISY ? "not told apart" : `${does} about as fast`;
}
