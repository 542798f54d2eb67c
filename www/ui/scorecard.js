// Quality of the two on the same items, every figure with its interval and n.

import { change, count, metric } from "../format.js";
import { byId, el, empty, part, scroller } from "./dom.js";

export function scorecard() {
  const draw = part(byId("scorecard"), (state) => {
    if (!state) return [empty("Accuracy appears here while items are scored.")];
    return [
      scroller("Scorecard table", el("table", {},
        el("caption", {}, "Both models on the same items. In brackets the 95 % interval; change is paired, compressed minus baseline."),
        el("thead", {}, el("tr", {}, ...["Metric", "Baseline", "Compressed", "Change"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...state.map(row)))),
      ...state.map((quality) => el("p", { class: "note" }, `${quality.label}: ${quality.definition}`)),
    ];
  });
  return (view) => draw(view?.run?.quality?.length ? view.run.quality : undefined);
}

function row(quality) {
  const { label, unit, baseline, compressed } = quality;
  const like = baseline.value;
  const better = quality.higher_is_better ? "higher is better" : "lower is better";
  const scored = quality.items < quality.items_total ? ` · ${count(quality.items)} of ${count(quality.items_total)} items so far` : "";
  const value = (e) => figure(metric(e.value, unit, like), `(${metric(e.low, unit, like)} to ${metric(e.high, unit, like)}) n=${count(e.n)}`);
  const name = unit === "bits" ? `${label} (bits)` : label;
  return el("tr", {},
    el("th", { scope: "row" }, name, el("small", {}, better + scored)),
    value(baseline),
    value(compressed),
    changed(quality, like));
}

function changed({ change: estimate, unit, higher_is_better: higher }, like) {
  const { value, low, high, n } = estimate;
  const cell = figure(change(value, unit, like), `(${change(low, unit, like)} to ${change(high, unit, like)}) n=${count(n)}`);
  cell.append(el("span", { class: "verdict" }, verdict(low, high, higher)));
  return cell;
}

/** An interval that holds 0 says nothing about the direction. */
function verdict(low, high, higher) {
  if (!(low > 0 || high < 0)) return "not significant";
  return low > 0 === higher ? "better" : "worse";
}

export const figure = (value, detail) =>
  el("td", { class: "number" }, el("b", {}, value), detail ? el("small", {}, detail) : undefined);
