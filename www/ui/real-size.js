// The same settings timed on random weights in a published shape: small models cannot show what a reduction saves.

import { compact, count, ratio, timing, writtenInterval } from "../format.js";
import { asked, cell, el, row, table } from "./dom.js";
import { fill } from "./control.js";

/** @import { RealSize } from "../protocol.js" */

const WORDS =
  "Small models spend their time on fixed costs. Here the same settings run on random weights in a published shape: their speed is real, what they write is not. Making hundreds of megabytes takes a while.";

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function realSize(app) {
  const select = el("select", { id: "real-size-shape" });
  const tools = [el("span", { class: "field-in-row" }, el("label", { for: select.id }, "Shape"), select)];
  const show = asked(app, "real-size", { words: WORDS, label: "Time it", tools, ask: () => ({ type: "real_size", shape: select.value }), make: outcome });
  return (view, catalog) => {
    fill(
      select,
      (catalog?.shapes ?? []).map((id) => ({ id, label: id })),
    );
    select.value ||= catalog?.shapes[0] ?? "";
    const found = app.found("real_size");
    show(view, found && { ...found, text: `${found.shape}: ${found.text}` });
  };
}

/** @param {RealSize} found */
function outcome({ shape, parameters, reduce, prune, backend, speed }) {
  if (!speed) return [];
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
