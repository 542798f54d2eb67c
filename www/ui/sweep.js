// One button that measures the chosen method over its main knob, a few values from end to end.

import { fill } from "./control.js";
import { el, text } from "./dom.js";

const STEPS = 6;

/** Returns [the controls, draw(view, catalog)]. */
export function sweeping(app) {
  let knobs = [];
  const select = el("select", { "aria-label": "Knob to sweep" });
  const button = el("button", { type: "button", class: "small", title: "Measures this method at several values, one after another" }, "Sweep");
  const pause = el("button", { type: "button", class: "small", hidden: true });
  const far = el("span", { "aria-live": "polite" });
  const box = el("span", { class: "field-in-row" }, button, select, pause, far);
  pause.addEventListener("click", () => app.send({ type: "pause" }));
  button.addEventListener("click", () => {
    const knob = knobs.find(({ id }) => id === select.value);
    if (knob) app.send({ type: "sweep", knob: knob.id, values: values(knob.kind) });
  });
  return [
    box,
    (view, catalog) => {
      knobs = [main("reduce", view, catalog.reductions), main("prune", view, catalog.prunings)].filter(Boolean);
      const { sweep } = view;
      button.disabled = select.disabled = knobs.length === 0 || Boolean(sweep);
      pause.hidden = !sweep;
      text(pause, sweep?.paused ? "Resume" : "Pause");
      text(far, sweep ? `${sweep.done} of ${sweep.total}` : "");
      fill(
        select,
        knobs.map(({ id, label }) => ({ id, label })),
      );
      select.value ||= knobs[0]?.id ?? "";
    },
  ];
}

/** A method's first knob that is a number, by the name of its control. */
function main(kind, { settings }, methods) {
  const method = methods.find(({ id }) => id === settings[kind]);
  const knob = method?.knobs.find(({ kind: { type } }) => type === "number");
  return knob && { id: `${kind}.${knob.id}`, label: `${method.label}: ${knob.label}`, kind: knob.kind };
}

/** The slider's own steps, thinned out. */
function values({ min, max, step }) {
  const all = Math.round((max - min) / step);
  const each = Math.max(1, Math.ceil(all / STEPS));
  const list = [];
  for (let i = 0; i <= all; i += each) list.push(String(Number((min + i * step).toPrecision(6))));
  return list;
}
