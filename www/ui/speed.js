// Time measured here, in turns, on the backend that is named.

import { count, ratio, timing, writtenInterval } from "../format.js";
import { byId, cell, el, empty, part, reason, row, table } from "./dom.js";
import { mark } from "./lasting.js";
import { why as whyNot } from "./why.js";

const DISTURBED =
  "While this run went on, the tab was hidden or the computer slept. Its speeds may be the browser's and not " +
  "the models'; they are not kept. Run again with the tab in view.";

/** @returns {import("../state.js").Panel} */
export function speed() {
  const draw = part(byId("speed"), (state) => {
    if (!state) return [empty("Speed is measured last, when nothing else runs.")];
    const { speed, backend, why, disturbed } = state;
    const { baseline, compressed } = speed;
    const caption =
      `${count(speed.prompt_tokens)} prompt tokens, ${count(speed.decode_tokens)} new ones, the two models in turns. ` +
      "Median; in brackets the middle half, of a ratio the 95% interval (n < 6: the extremes).";
    return [
      ...(disturbed ? [el("p", { class: "notice warning" }, DISTURBED)] : []),
      table(
        "Speed table",
        caption,
        ["Measure", "Baseline", "Compressed", "Ratio"],
        [
          times("Prefill", "tokens/s, higher is better", baseline.prefill_tokens_per_s, compressed.prefill_tokens_per_s, speed.prefill_ratio),
          times("Decode", "tokens/s, higher is better", baseline.decode_tokens_per_s, compressed.decode_tokens_per_s, speed.decode_ratio),
          times("Time to first token", "ms, lower is better", baseline.first_token_ms, compressed.first_token_ms),
        ],
      ),
      ...whyNot(state),
      el("div", { class: "note" }, `Measured on ${backend}: `, reason(why)),
    ];
  });
  return (view) => {
    const run = view?.run;
    mark(byId("speed").closest("section"), run?.was?.includes("speed") ?? false);
    draw(view && run?.speed ? { speed: run.speed, cost: run.cost, backend: run.backend, why: view.backend_why, disturbed: run.disturbed } : undefined);
  };
}

function times(label, unit, baseline, compressed, quotient) {
  const figure = (e, write) => cell(write(e.value), `(${writtenInterval(e, write)}) n=${count(e.n)}`);
  const last = quotient ? figure(quotient, ratio) : el("td", { role: "cell" });
  return row(label, unit, figure(baseline, timing), figure(compressed, timing), last);
}
