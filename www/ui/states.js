// How state-space layers use their states: which columns carry the output, how few of them, and how long they remember.

import { count, percent } from "../format.js";
import { byId, cell, drawn, el, empty, row, scroller, table } from "./dom.js";
import { mark } from "./lasting.js";

/** @import { StateUse, StateView } from "../protocol.js" */

const CLASSES = ["≤ 1", "≤ 4", "≤ 16", "≤ 64", "≤ 256", "> 256"];

/** @returns {import("../state.js").Panel} */
export function states() {
  const draw = drawn(byId("states"), (/** @type {StateView | null | undefined} */ found) => {
    if (!found) return [empty("Mamba layers show here how they use their states; a transformer has none.")];
    const { baseline, compressed, tokens } = found;
    return [
      el("p", { class: "note" }, look(baseline, compressed)),
      ...pictures(baseline, "Baseline"),
      ...(compressed ? pictures(compressed, "Compressed") : []),
      use(found),
      memory(found),
      el(
        "p",
        { class: "note" },
        `Measured on ${count(tokens)} tokens of the prompt, without a token reduction. ` +
          (compressed ? "" : "No weight was pruned, so the compressed model has the same states."),
      ),
    ];
  });
  return (view) => {
    mark(byId("states").closest("section"), view?.run?.was?.includes("states") ?? false);
    draw(view?.run?.states);
  };
}

/** @param {StateUse[]} baseline @param {StateUse[] | null} compressed */
function look(baseline, compressed) {
  const share = (layer) => layer.columns_for_most / layer.columns.length;
  const spare = baseline.reduce((a, b) => (share(b) < share(a) ? b : a));
  const words = `Look at layer ${spare.layer}: ${spare.columns_for_most} of its ${spare.columns.length} state columns carry 90% of what its states give, so little would go with the others.`;
  const after = compressed?.find(({ layer }) => layer === spare.layer);
  return after ? `${words} After pruning it is ${after.columns_for_most} of ${after.columns.length}.` : words;
}

/** A bar a column, sorted from the most to the least, a row a layer. @param {StateUse[]} layers */
function pictures(layers, title) {
  const line = (layer) => {
    const sorted = [...layer.columns].sort((a, b) => b - a);
    const most = Math.max(sorted[0], 1e-12);
    const bars = sorted.map((share) => {
      const bar = el("span");
      bar.style.blockSize = `${Math.round((100 * share) / most)}%`;
      return bar;
    });
    const words = `Layer ${layer.layer}: ${layer.columns_for_most} of ${layer.columns.length} columns carry 90%, the largest ${percent(sorted[0])}`;
    return el(
      "div",
      { class: "columns" },
      el("span", { "aria-hidden": "true" }, String(layer.layer)),
      el("div", { class: "bars", role: "img", "aria-label": words, title: words }, ...bars),
    );
  };
  return [el("h3", {}, `${title}: state columns of each layer, the strongest first`), scroller(`${title}: shares of the state columns`, ...layers.map(line))];
}

/** @param {StateView} found */
function use({ baseline, compressed }) {
  const of = (layers, id) => layers?.find(({ layer }) => layer === id);
  const columns = (layer) => cell(layer ? `${layer.columns_for_most} of ${layer.columns.length}` : "–");
  const channels = (layer) => cell(layer ? `${layer.channels_for_most} of ${layer.channels}` : "–");
  const lines = baseline.map((layer) =>
    row(
      `Layer ${layer.layer}`,
      undefined,
      columns(layer),
      channels(layer),
      ...(compressed ? [columns(of(compressed, layer.layer)), channels(of(compressed, layer.layer))] : []),
    ),
  );
  return table(
    "Use of the states",
    "State columns and channels that carry 90% of the output's squares.",
    ["Layer", "Columns", "Channels", ...(compressed ? ["Columns, compressed", "Channels, compressed"] : [])],
    lines,
    { class: "small" },
  );
}

/** @param {StateView} found */
function memory({ baseline, compressed }) {
  const lines = (layers, title) => layers.map((layer) => row(`Layer ${layer.layer}`, title, ...layer.half_lives.map((share) => cell(percent(share, 0)))));
  return table(
    "Decay spectrum",
    "Share of the states by how many tokens it takes until they have forgotten half of themselves.",
    ["Layer", ...CLASSES],
    compressed ? baseline.flatMap((layer, at) => [...lines([layer], "baseline"), ...lines(compressed.slice(at, at + 1), "compressed")]) : lines(baseline),
    { class: "small" },
  );
}
