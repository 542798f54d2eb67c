// What the settings save by counting; the panel says that nothing here was timed.

import { count, error, percent } from "../format.js";
import { byId, el, empty, part, scroller } from "./dom.js";

export function cost() {
  // Folded or not is the person's choice and outlives a redraw.
  let open = false;
  const draw = part(byId("cost"), (cost) => {
    if (!cost) return [empty("Operations and zeros are counted when a run starts.")];
    return [
      el("dl", { class: "facts" },
        ...fact("FLOPs saved in the layers", percent(cost.flops_saved_layers)),
        ...fact("FLOPs saved in all", percent(cost.flops_saved_total), "with embedding and output head"),
        ...fact("Zeros in pruned matrices", percent(cost.sparsity)),
        ...fact("Zeros in the whole model", percent(cost.sparsity_of_model))),
      ...(cost.lengths.length ? [lengths(cost.lengths)] : []),
      el("p", { class: "note" }, "Unstructured sparsity does not make dense kernels faster: a zero is multiplied like any other number. " +
        "Only the Speed panel says what this device gained."),
      ...(cost.matrices.length ? [matrices(cost.matrices, open, (now) => { open = now; })] : []),
    ];
  });
  return (view) => draw(view?.run?.cost);
}

const fact = (name, value, detail) => [
  el("dt", {}, name, detail ? el("small", {}, detail) : undefined),
  el("dd", {}, value),
];

function lengths(list) {
  const most = Math.max(...list);
  return el("div", { class: "lengths" },
    el("h3", { id: "lengths-title" }, "Context tokens that enter each layer"),
    el("ol", { start: "0", "aria-labelledby": "lengths-title" }, ...list.map((tokens, layer) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" });
      bar.style.blockSize = `${(tokens / most) * 100}%`;
      return el("li", {}, el("span", { class: "column", "aria-hidden": "true" }, bar), el("span", { class: "unseen" }, `Layer ${layer}: `), count(tokens));
    })));
}

function matrices(list, open, folded) {
  const details = el("details", { open },
    el("summary", {}, `Per matrix (${list.length})`),
    scroller("Sparsity of each matrix", el("table", { class: "small" },
      el("caption", {}, "Share of zeros asked for and reached, and the squared error of the layer's output on the calibration tokens, relative to the output itself."),
      el("thead", {}, el("tr", {}, ...["Matrix", "Shape", "Requested", "Achieved", "Output error"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...list.map((m) => el("tr", {},
        el("th", { scope: "row" }, m.name),
        el("td", { class: "number" }, `${m.rows}×${m.cols}`),
        el("td", { class: "number" }, percent(m.requested)),
        el("td", { class: "number" }, percent(m.achieved)),
        el("td", { class: "number" }, error(m.error))))))));
  details.addEventListener("toggle", () => folded(details.open));
  return details;
}
