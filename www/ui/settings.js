// The form: which model, what is done to it, how it is judged.

import { compact, megabytes } from "../format.js";
import { Control, fill, radioGroup } from "./control.js";
import { byId, el, part, text } from "./dom.js";
import { OFF, methodControl } from "./method.js";

const PLAIN = ["prompt", "tokens", "temperature", "seed", "backend"];

export function settings(app) {
  const set = (name) => (value) => app.send({ type: "set", name, value });
  const form = byId("settings");
  form.addEventListener("submit", (event) => event.preventDefault());
  fit(form);

  const model = new Control([radioGroup(byId("model-choices"))], set("model"), app.redraw);
  const drawModels = part(byId("model-choices"), (choices) => choices.map(modelChoice));
  const plain = PLAIN.map((name) => [name, new Control([byId(name)], set(name), app.redraw)]);
  const methods = [
    methodControl("reduce", "Token reduction method", OFF, (_, catalog) => catalog.reductions, app),
    methodControl("prune", "Sparsity method", OFF, (_, catalog) => catalog.prunings, app),
    methodControl("eval", "Evaluation task", [], evaluations, app),
  ];

  return (view, catalog) => {
    byId("fields").disabled = !view;
    if (!view) return;
    drawModels(models(view, catalog));
    model.show(view.settings.model);
    fill(byId("backend"), catalog.backends.map(([id, label]) => ({ id, label })));
    text(byId("backend-why"), view.backend_why);
    for (const [name, control] of plain) control.show(view.settings[name]);
    for (const draw of methods) draw(view, catalog);
  };
}

/** On a phone the settings start folded; elsewhere they end where the window ends. The button to run stays in view. */
function fit(form) {
  const measure = () => document.documentElement.style.setProperty("--above", `${form.offsetTop}px`);
  new ResizeObserver(measure).observe(document.querySelector(".above"));

  const body = byId("settings-body");
  const phone = matchMedia("(max-width: 56rem)");
  const fold = () => { body.open = !phone.matches; };
  phone.addEventListener("change", fold);
  fold();
}

/** The bundled models, and the one that the person opened. */
function models(view, catalog) {
  const own = view.model && !catalog.models.some((m) => m.id === view.model.id) ? [view.model] : [];
  return [...catalog.models, ...own].map(({ id, label, family, parameters, bytes }) => ({ id, label, family, parameters, bytes }));
}

function modelChoice({ id, label, family, parameters, bytes }) {
  return el("label", { class: "choice" },
    el("input", { type: "radio", name: "model", value: id }),
    el("span", {}, el("b", {}, label), " ",
      el("small", {}, `${family} · ${compact(parameters)}`, el("span", { class: "unseen" }, " parameters"), ` · ${megabytes(bytes)}`)));
}

/** Tasks that make sense for the model; the chosen one stays in the list in any case. */
function evaluations(view, catalog) {
  const fitting = catalog.models.find((m) => m.id === view.settings.model)?.evaluations;
  return catalog.evaluations.filter((e) => !fitting || fitting.includes(e.id) || e.id === view.settings.eval);
}
