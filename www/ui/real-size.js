// The same settings timed on random weights in a published shape: small models cannot show what a reduction saves.

import { compact, count, ratio, timing, writtenInterval } from "../format.js";
import { byId, cell, el, part, row, table, text } from "./dom.js";
import { fill } from "./control.js";

/** @import { RealSize, Speed } from "../protocol.js" */

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function realSize(app) {
  const select = el("select", { id: "real-size-shape" });
  const button = el("button", { type: "button", class: "small" }, "Time it");
  const said = el("p", { class: "note", role: "status" });
  const result = el("div");
  byId("real-size").replaceChildren(
    el(
      "p",
      { class: "note" },
      "Small models spend their time on fixed costs. Here the same settings run on random weights in a published shape: their speed is real, what they write is not. Making hundreds of megabytes takes a while.",
    ),
    el("div", { class: "row tools" }, el("span", { class: "field-in-row" }, el("label", { for: select.id }, "Shape"), select), button),
    said,
    result,
  );
  button.addEventListener("click", () => app.send({ type: "real_size", shape: select.value }));
  const draw = part(result, (/** @type {RealSize | undefined} */ found) => (found?.speed ? outcome(found, found.speed) : []));
  return (view, catalog) => {
    const found = app.realSize();
    const isOn = found !== undefined && !found.done;
    fill(
      select,
      (catalog?.shapes ?? []).map((id) => ({ id, label: id })),
    );
    select.value ||= catalog?.shapes[0] ?? "";
    button.disabled = !view || view.status.running || isOn;
    text(said, found ? `${found.shape}: ${found.text}` : "");
    draw(found);
  };
}

/** @param {RealSize} found @param {Speed} speed */
function outcome({ shape, parameters, reduce, prune, backend }, speed) {
  const figure = (e, write) => cell(write(e.value), `(${writtenInterval(e, write)}) n=${count(e.n)}`);
  const line = (label, of, quotient) =>
    row(label, "tokens/s, higher is better", figure(speed.baseline[of], timing), figure(speed.compressed[of], timing), figure(quotient, ratio));
  const words = `Speed only: ${compact(parameters)} seeded random weights in the shape of ${shape}, ${count(speed.prompt_tokens)} prompt tokens, on ${backend}. Reduction: ${reduce}; pruning: ${prune}.`;
  return [
    table(
      "Speed at real size",
      words,
      ["Measure", "Baseline", "Compressed", "Ratio"],
      [line("Prefill", "prefill_tokens_per_s", speed.prefill_ratio), line("Decode", "decode_tokens_per_s", speed.decode_ratio)],
    ),
  ];
}
