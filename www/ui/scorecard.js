// Quality of the two on the same items, every figure with its interval and n.

import { change, changeRange, count, metric } from "../format.js";
import { byId, cell, el, empty, part, row, table } from "./dom.js";

const CAPTION = "Both models on the same items. In brackets the 95% interval; the change is paired, compressed minus baseline.";

export function scorecard() {
  const draw = part(byId("scorecard"), (list) => {
    if (!list) return [empty("Accuracy appears here while items are scored.")];
    return [
      table("Scorecard table", CAPTION, ["Metric", "Baseline", "Compressed", "Change"], list.map(scores)),
      ...definitions(list).map((words) => el("p", { class: "note" }, words)),
    ];
  });
  return (view) => draw(view?.run?.quality?.length ? view.run.quality : undefined);
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
  const value = ({ value, low, high, n }) =>
    cell(metric(value, unit, like), `(${metric(low, unit, like)} to ${metric(high, unit, like)}) n=${count(n)}`);
  const better = quality.higher_is_better ? "higher is better" : "lower is better";
  const scored = items < all ? ` · ${count(items)} of ${count(all)} items so far` : "";
  return row(label, better + scored, value(baseline), value(compressed), changed(quality, like));
}

function changed({ change: { value, low, high, n }, unit, higher_is_better: higher }, like) {
  const interval = `(${changeRange(low, high, unit, like)}) n=${count(n)}`;
  return cell(change(value, unit, like), interval, " ", el("span", { class: "tag" }, verdict(low, high, higher)));
}

/** An interval that holds 0 says nothing about the direction. */
function verdict(low, high, higher) {
  if (!(low > 0 || high < 0)) return "not significant";
  return low > 0 === higher ? "better" : "worse";
}
