// What the settings save by counting; the panel says that nothing here was timed.

import { compact, count, error, megabytes, percent } from "../format.js";
import { byId, cell, el, empty, fact, part, row, table } from "./dom.js";
import { heatMap } from "./heat.js";
import { mark } from "./lasting.js";

/** @returns {import("../state.js").Panel} */
export function cost() {
  // Folded or not is the person's choice and outlives a redraw.
  let open = false;
  const heat = { shown: "achieved" };
  const draw = part(byId("cost"), (cost) => {
    if (!cost) return [empty("Operations and zeros are counted when a run starts.")];
    return [
      el(
        "dl",
        { class: "facts" },
        fact("FLOPs saved in the layers", percent(cost.flops_saved_layers)),
        fact("FLOPs saved in all", percent(cost.flops_saved_total), { more: "with the output head of one token and the method's own arithmetic" }),
        fact("Zero or removed in the pruned matrices", percent(cost.sparsity)),
        fact("Zero or removed in the whole model", percent(cost.sparsity_of_model)),
        ...(cost.decode ? decoding(cost.decode) : []),
      ),
      ...(cost.lengths.length ? [lengths(cost.lengths)] : []),
      el("p", { class: "note" }, `${cost.decode?.text ?? ""} Only the Speed panel says what this device gained.`),
      ...(cost.matrices.length ? [heatOf(cost.matrices, heat)] : []),
      ...(cost.matrices.length
        ? [
            matrices(cost.matrices, open, (now) => {
              open = now;
            }),
          ]
        : []),
    ];
  });
  return (view) => {
    const run = view?.run;
    mark(byId("cost").closest("section"), run?.was?.includes("cost") ?? false);
    draw(run?.cost ?? undefined);
  };
}

/** One decoded token: linear layers and head, counted. */
function decoding(decode) {
  const dense = (text) => ({ more: `with every matrix dense: ${text}` });
  return [
    fact("Weights read per decoded token", megabytes(decode.bytes), dense(megabytes(decode.bytes_dense))),
    fact("FLOPs per decoded token", compact(decode.flops), dense(compact(decode.flops_dense))),
  ];
}

function lengths(list) {
  const most = Math.max(...list);
  const layer = (tokens, index) => {
    const bar = el("span", { class: "bar" });
    bar.style.blockSize = `${(tokens / most) * 100}%`;
    const column = el("span", { class: "column", "aria-hidden": "true" }, bar);
    return el("li", {}, column, el("span", { class: "unseen" }, `Layer ${index}: `), count(tokens));
  };
  return el(
    "div",
    { class: "lengths" },
    el("h3", { id: "lengths-title" }, "Context tokens that enter each layer"),
    el("ol", { start: "0", "aria-labelledby": "lengths-title" }, ...list.map(layer)),
  );
}

/** The map redraws itself when the person chooses what it shows. */
function heatOf(list, heat) {
  const box = el("div", { class: "heat-map" });
  const draw = () =>
    box.replaceChildren(
      el("h3", {}, "Layers by matrices"),
      ...heatMap(list, heat, () => {
        draw();
        box.querySelector("[aria-pressed='true']")?.focus();
      }),
    );
  draw();
  return box;
}

/** Before and, where the matrix became smaller, after. */
const shape = (m) => `${m.rows}×${m.cols}` + (m.left ? ` → ${m.left.join("×")}` : "");

function matrices(list, open, folded) {
  const caption =
    "Share of zero or removed weights asked for and reached, and the squared error of the layer's output, relative to the output itself, on " +
    "calibration text and on text held out from it; the damping used and the time taken.";
  const figures = (m) => [
    shape(m),
    percent(m.requested),
    percent(m.achieved),
    error(m.error),
    error(m.held_out_error),
    error(m.damping),
    count(m.milliseconds),
  ];
  const line = (m) => row(m.name, undefined, ...figures(m).map((figure) => cell(figure)));
  const columns = ["Matrix", "Shape", "Requested", "Achieved", "Error, calibration", "Error, held out", "Damping", "ms"];
  const details = el(
    "details",
    { open },
    el("summary", {}, `Per matrix (${list.length})`),
    table("Sparsity of each matrix", caption, columns, list.map(line), { class: "small" }),
  );
  details.addEventListener("toggle", () => folded(details.open));
  return details;
}
