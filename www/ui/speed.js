// Time measured here, in turns, on the backend that is named.

import { count, ratio, timing } from "../format.js";
import { byId, el, empty, part, scroller } from "./dom.js";
import { figure } from "./scorecard.js";

export function speed() {
  const draw = part(byId("speed"), (state) => {
    if (!state) return [empty("Speed is measured last, when nothing else runs.")];
    const { speed, backend, why } = state;
    const { baseline, compressed } = speed;
    return [
      scroller("Speed table", el("table", {},
        el("caption", {}, `${count(speed.prompt_tokens)} prompt tokens, ${count(speed.decode_tokens)} new ones, the two models in turns. ` +
          "Median; in brackets the middle half of the repeats."),
        el("thead", {}, el("tr", {}, ...["Measure", "Baseline", "Compressed", "Ratio"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {},
          row("Prefill", "tokens/s, higher is better", baseline.prefill_tokens_per_s, compressed.prefill_tokens_per_s, speed.prefill_ratio),
          row("Decode", "tokens/s, higher is better", baseline.decode_tokens_per_s, compressed.decode_tokens_per_s, speed.decode_ratio),
          row("Time to first token", "ms, lower is better", baseline.first_token_ms, compressed.first_token_ms)))),
      el("p", { class: "note" }, `Measured on ${backend}. ${why}`),
    ];
  });
  return (view) => {
    const run = view?.run;
    draw(run?.speed ? { speed: run.speed, backend: run.backend, why: view.backend_why } : undefined);
  };
}

function row(label, unit, baseline, compressed, times) {
  const cell = (e) => figure(timing(e.value), `(${timing(e.low)} to ${timing(e.high)}) n=${count(e.n)}`);
  return el("tr", {},
    el("th", { scope: "row" }, label, el("small", {}, unit)),
    cell(baseline),
    cell(compressed),
    times ? figure(ratio(times.value), `(${ratio(times.low)} to ${ratio(times.high)}) n=${count(times.n)}`) : figure(""));
}
