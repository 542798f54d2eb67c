// Pinned runs side by side, and their differences, paired over the items that they share. The engine does the statistics.

import { change, changeInterval, count, percent } from "../format.js";
import { cell, el, row, table } from "./dom.js";
import { figures, setting } from "./figures.js";

/** @import { Kept } from "../store.js" */

const WORDS = { better: "better", worse: "worse", not_significant: "not significant", too_few: "too few items", none: "not defined" };

/** @param {import("../state.js").App} app Returns the node, and show(runs), which compares two or three. */
export function comparison(app) {
  const node = el("div", { id: "compare" });
  const paired = el("div");
  let newest = 0;
  let shown = "";
  return {
    node,
    /** @param {Kept[]} runs */
    show(runs) {
      const key = runs.map(({ id, at, name }) => `${id} ${at} ${name}`).join("|");
      if (key === shown) return;
      shown = key;
      paired.replaceChildren();
      node.replaceChildren(...(runs.length < 2 ? [] : [el("h3", {}, "Compare"), sideBySide(runs), paired]));
      newest += 1;
      if (runs.length >= 2)
        differences(app, runs, newest, (found, number) => {
          if (number === newest) paired.replaceChildren(...found);
        });
    },
  };
}

const title = ({ name, point }) => name || setting(point);

/** @param {Kept[]} runs */
function sideBySide(runs) {
  const line = (head, write) => row(head, "", ...runs.map((run) => write(run)));
  const figure = (at) => (run) => cell(...figures(run.point)[at]);
  const same = new Set(runs.map(({ point: p }) => `${p.model} ${p.evaluation} ${p.seed}`)).size === 1;
  const words = same ? "Same model, items and seed: each change is paired with the same baseline." : "Beware: model, items or seed differ.";
  return table(
    "Comparison",
    words,
    ["", ...runs.map(title)],
    [
      line("Settings", ({ point }) => cell("", setting(point))),
      line("Backend", ({ point }) => cell("", point.backend)),
      line("Quality", figure(0)),
      line("Change", figure(1)),
      line("Prefill", figure(2)),
      line("Decode", figure(3)),
      line("Arithmetic", ({ point }) => cell(percent(point.cost?.flops_share), "of the dense model's, counted")),
      line("Text", ({ texts }) => el("td", { role: "cell", class: "prose" }, texts?.compressed || "–")),
    ],
  );
}

/** Each later run against the first. @param {Kept[]} runs */
async function differences(app, runs, number, tell) {
  const [first, ...others] = runs;
  const found = await Promise.all(others.map((second) => difference(app, first, second)));
  const lines = found.flatMap(({ second, quality }) =>
    quality.map((q) =>
      row(
        q.label,
        `${title(second)} minus ${title(first)}`,
        cell(
          change(q.change.value, q.unit, q.baseline.value),
          `(${changeInterval(q.change, q.unit, q.baseline.value)}) n=${count(q.change.n)}`,
          " ",
          el("span", { class: "tag" }, WORDS[q.verdict]),
        ),
      ),
    ),
  );
  const problems = found.flatMap(({ problem }) => (problem ? [el("p", { class: "note" }, problem)] : []));
  const words = "The compressed models of two runs on the items that both scored: the difference, paired item by item, with its 95% interval.";
  tell(
    [...(lines.length ? [table("Paired differences", words, ["Metric", "Difference"], lines, { "aria-label": "Paired differences" })] : []), ...problems],
    number,
  );
}

/** @param {Kept} first @param {Kept} second */
async function difference(app, first, second) {
  const [a, b] = [first.scores, second.scores];
  const without = [first, second].filter(({ scores }) => !scores).map(title);
  const said = (problem) => ({ second, quality: [], problem });
  if (!a || !b) return said(`No paired difference: the items of ${without.join(" and ")} were not kept (an imported run, or one from before they were).`);
  if (first.point.evaluation.split(":")[0] !== second.point.evaluation.split(":")[0])
    return said("No paired difference: the runs were scored on different evaluations.");
  const places = new Map(b.items.map((item, at) => [item, at]));
  const shared = a.items.flatMap((item, at) => {
    const there = places.get(item);
    return there === undefined ? [] : [[at, there]];
  });
  if (shared.length === 0) return said(`No paired difference: ${title(first)} and ${title(second)} share no item.`);
  const answer = await app.compare(
    second.point.evaluation,
    shared.map(([at]) => a.compressed[at]),
    shared.map(([, at]) => b.compressed[at]),
  );
  return { second, quality: answer.quality, problem: answer.problem };
}
