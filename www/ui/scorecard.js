// Quality of the two on the same items, every figure with its interval and n.

import { change, changeInterval, count, metric, metricInterval, percent } from "../format.js";
import { byId, cell, el, empty, part, row, table } from "./dom.js";
import { mark } from "./lasting.js";

const CAPTION = "Both models on the same items. In brackets the 95% interval; the change is paired, compressed minus baseline.";

const BESIDE =
  "Tokens removed without looking, as many and at the same layers. Cells: the method minus the control on the same items, " +
  "with its 95% interval; below, the control's own figure.";
const SLIPPED = "The compressed model by both scorers, on the same items. In brackets the 95% interval.";

/** @returns {import("../state.js").Panel} */
export function scorecard() {
  const drawControls = part(byId("controls"), (list) =>
    list
      ? [el("h3", {}, "Against controls"), table("Controls table", BESIDE, ["Control", ...list[0].quality.map(({ label }) => label)], list.map(control))]
      : [],
  );
  const drawPublished = part(byId("published"), (found) =>
    found
      ? [
          el("h3", {}, "The scorer as published"),
          el("p", { class: "notice warning" }, `Not a measure of quality. ${found.warning} In step here: ${percent(found.in_step, 0)} of the rows.`),
          table("Published scorer table", SLIPPED, ["Metric", "Honest", "As published"], found.quality.map(published)),
        ]
      : [],
  );
  const draw = part(byId("scorecard"), (list) => {
    if (!list) return [empty("Accuracy appears here while items are scored.")];
    return [
      table("Scorecard table", CAPTION, ["Metric", "Baseline", "Compressed", "Change"], list.map(scores)),
      ...definitions(list).map((words) => el("p", { class: "note" }, words)),
    ];
  });
  const section = byId("scorecard").closest("section");
  return (view) => {
    const run = view?.run;
    mark(section, run?.was?.includes("quality") ?? false);
    draw(run?.quality?.length ? run.quality : undefined);
    drawControls(run?.controls?.length ? run.controls : undefined);
    drawPublished(run?.published ?? undefined);
  };
}

function control({ label, spec, quality }) {
  const against = (q) => {
    const like = q.baseline.value;
    const td = changed(q, like);
    td.append(el("small", {}, `control ${metric(like, q.unit, like)}`));
    return td;
  };
  return row(label, spec, ...quality.map(against));
}

function published({ label, unit, baseline, compressed }) {
  return row(label, undefined, figure(baseline, unit, baseline.value), figure(compressed, unit, baseline.value));
}

/** Metrics of one task are often defined by the same words. */
function definitions(list) {
  const [first, ...others] = list;
  if (others.every(({ definition }) => definition === first.definition)) return [first.definition];
  return list.map(({ label, definition }) => `${label}: ${definition}`);
}

function scores(quality) {
  const { label, unit, baseline, compressed, items, items_total: all } = quality;
  const like = baseline.value;
  const value = (estimate) => figure(estimate, unit, like);
  const better = quality.higher_is_better ? "higher is better" : "lower is better";
  const scored = items < all ? ` · ${count(items)} of ${count(all)} items so far` : "";
  return row(label, better + scored, value(baseline), value(compressed), changed(quality, like));
}

/** @param {import("../protocol.js").Estimate} estimate */
const figure = (estimate, unit, like) => cell(metric(estimate.value, unit, like), `(${metricInterval(estimate, unit, like)}) n=${count(estimate.n)}`);

const WORDS = { better: "better", worse: "worse", not_significant: "not significant", too_few: "too few items", none: "still coming" };

/** @param {import("../protocol.js").Quality} quality */
function changed({ change: c, unit, verdict, items, items_total: all }, like) {
  const words = verdict === "none" && items === all ? "not defined" : WORDS[verdict];
  return cell(change(c.value, unit, like), `(${changeInterval(c, unit, like)}) n=${count(c.n)}`, " ", el("span", { class: "tag" }, words));
}
