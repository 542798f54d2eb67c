// A method and its knobs, drawn from what the method says about itself: a new method needs no line here.

import { Control, fill } from "./control.js";
import { byId, el, part, text } from "./dom.js";

/** What stands before the methods of a kind; its sentence says what all of them do. */
export const OFF = {
  reduce: [{ id: "off", label: "Off", summary: "Drops tokens of the prompt on the way through the layers: less to read." }],
  prune: [{ id: "off", label: "Off", summary: "Sets weights to zero, takes them out, or rounds them." }],
};

/**
 * `kind` is "reduce", "prune" or "eval"; `title` names the select; `list(view, catalog)` gives the methods, `first` what
 * stands before them: one of OFF or nothing.
 */
export function methodControl(kind, title, first, list, app) {
  const set = (name) => (value) => app.send({ type: "set", name, value });
  const select = el("select", { id: `${kind}-method`, "aria-describedby": `${kind}-about` });
  const about = el("small", { id: `${kind}-about` });
  const box = el("div", { class: "knobs" });
  byId(kind).replaceChildren(el("div", { class: "field" }, el("label", { for: select.id, class: "unseen" }, title), select, about), box);
  const method = new Control([select], set(kind), app);

  let knobs = [];
  const drawKnobs = part(box, (chosen) => {
    const drawn = (chosen?.knobs ?? []).map((knob) => drawKnob(kind, knob));
    knobs = drawn.map(({ name, elements, options }) => ({
      name,
      options,
      elements,
      control: new Control(elements, set(name), app, (value) => app.moving(name, value)),
    }));
    return folded(
      drawn.map(({ field }) => field),
      inView(chosen?.knobs ?? []),
      // Who opened the settings of one method wants to see those of the next.
      box.querySelector("details")?.open ?? false,
    );
  });

  return (view, catalog) => {
    const methods = list(view, catalog);
    const unfit = view.why_not[kind] ?? {};
    fill(select, [...first.map(({ id, label }) => choice(id, label)), ...methods.map((m) => choice(m.id, m.label, unfit[m.id]))]);
    method.show(view.settings[kind]);
    const chosen = [...first, ...methods].find((m) => m.id === view.settings[kind]);
    text(about, chosen?.summary ?? "");
    drawKnobs(chosen);
    for (const { name, options, elements, control } of knobs) {
      const unfit = view.why_not[name] ?? {};
      if (options)
        fill(
          elements[0],
          options.map(([id, label]) => choice(id, label, unfit[id])),
        );
      control.show(view.settings[name]);
    }
  };
}

/** The first knobs are in view, many more would push the next method off the screen. */
function folded(fields, shown, open) {
  const rest = fields.filter((_, at) => !shown.includes(at));
  if (rest.length === 0) return fields;
  const words = rest.length === 1 ? "1 more setting" : `${rest.length} more settings`;
  return [...shown.map((at) => fields[at]), el("details", { open }, el("summary", {}, words), ...rest)];
}

/** The main knobs: the first, and the first that is a number, because that is what one sweeps. */
const inView = (knobs) =>
  [
    ...new Set([
      0,
      Math.max(
        0,
        knobs.findIndex(({ kind }) => kind.type === "number"),
      ),
    ]),
  ].filter((at) => at < knobs.length);

/** `why` it cannot be chosen, where it cannot. */
const choice = (id, label, why = undefined) => ({ id, label: why ? `${label} (${why})` : label, disabled: why !== undefined });

function drawKnob(kind, knob) {
  const name = `${kind}.${knob.id}`;
  const id = `${kind}-${knob.id}`;
  const help = el("small", { id: `${id}-help` }, knob.help);
  const common = { id, "aria-describedby": help.id };
  const label = el("label", { for: id }, knob.label);
  if (knob.kind.type === "number") {
    const { min, max, step } = knob.kind;
    const slider = el("input", { ...common, type: "range", min, max, step });
    const box = el("input", {
      type: "text",
      role: "spinbutton",
      inputmode: "decimal",
      autocomplete: "off",
      "aria-valuemin": min,
      "aria-valuemax": max,
      "aria-label": `${knob.label}, exact value`,
    });
    return { name, elements: [slider, box], field: el("div", { class: "field" }, el("div", { class: "slide" }, label, box, slider), help) };
  }
  const input =
    knob.kind.type === "choice"
      ? el("select", common)
      : el("input", { ...common, type: "text", placeholder: "automatic", spellcheck: "false", autocomplete: "off" });
  return { name, elements: [input], options: knob.kind.options, field: el("div", { class: "field inline" }, label, input, help) };
}
