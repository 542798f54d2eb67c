// The form: which model, what is done to it, how it is judged.

import { compact, megabytes } from "../format.js";
import { Control, fill, radioGroup } from "./control.js";
import { byId, el, part, reason } from "./dom.js";
import { OFF, methodControl } from "./method.js";

const PLAIN = ["prompt", "tokens", "temperature", "seed", "backend"];

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function settings(app) {
  const set = (name) => (/** @type {string} */ value) => app.send({ type: "set", name, value });
  const form = byId("settings");
  form.addEventListener("submit", (event) => event.preventDefault());
  fit(form);

  const model = new Control([radioGroup(byId("model-choices"))], set("model"), app);
  const drawModels = part(byId("model-choices"), (choices) => modelMenu(choices));
  const plain = PLAIN.map((name) => ({ name, control: new Control([byId(name)], set(name), app) }));
  byId("temperature").setAttribute("role", "spinbutton");
  const drawWhy = part(byId("backend-why"), (words) => (words ? [reason(words)] : []));
  const methods = [
    methodControl("reduce", "Token reduction method", OFF.reduce, (_, catalog) => catalog.reductions, app),
    methodControl("prune", "Sparsity method", OFF.prune, (_, catalog) => catalog.prunings, app),
    methodControl("eval", "Evaluation task", [], evaluations, app),
  ];

  const prompt = byId("prompt");
  let inView;
  // The texts go on where the prompt ends: unless somebody writes in it, its end is in view.
  const showEnd = () => {
    if (prompt.value === inView || document.activeElement === prompt) return;
    inView = prompt.value;
    prompt.scrollTop = prompt.scrollHeight;
  };

  return (view, catalog) => {
    byId("fields").disabled = prompt.disabled = !view;
    if (!view) return;
    drawModels(models(view, catalog));
    model.show(view.settings.model);
    fill(
      byId("backend"),
      catalog.backends.map(([id, label]) => ({ id, label })),
    );
    drawWhy(view.backend_why);
    for (const { name, control } of plain) control.show(view.settings[name]);
    showEnd();
    for (const draw of methods) draw(view, catalog);
  };
}

/** On a phone the settings start folded; elsewhere they end where the window ends. The button to run stays in view. */
function fit(form) {
  const measure = () => document.documentElement.style.setProperty("--above", `${form.offsetTop}px`);
  new ResizeObserver(measure).observe(byId("above"));

  const body = byId("settings-body");
  const phone = matchMedia("(max-width: 56rem)");
  const fold = () => {
    body.open = !phone.matches;
    body.classList.add("fitted");
  };
  phone.addEventListener("change", fold);
  fold();
}

/** The bundled models and those that the person opened, by what they can do: [[task, models]]. */
function models(view, catalog) {
  const own = view.model && !catalog.models.some((m) => m.id === view.model.id) ? [{ ...view.model, own: true }] : [];
  const tasks = new Map();
  for (const { id, label, family, parameters, bytes, own: opened } of [...catalog.models, ...own]) {
    const [name, task] = opened ? [label, "Your files"] : label.split(", ");
    tasks.set(task ?? "", [...(tasks.get(task ?? "") ?? []), { id, name, label, family, parameters, bytes }]);
  }
  return { tasks: [...tasks], chosen: view.settings.model };
}

/** A line a task, a button a family, and what the chosen one is. */
function modelMenu({ tasks, chosen }) {
  const all = tasks.flatMap(([, models]) => models);
  const about = all.find((m) => m.id === chosen);
  return [
    ...tasks.map(([task, models]) => el("div", { class: "task" }, el("span", { class: "name", "aria-hidden": "true" }, task), ...models.map(modelChoice))),
    el("p", { class: "note", "aria-hidden": "true" }, about ? sizes(about) : ""),
  ];
}

const sizes = ({ family, parameters, bytes }) => `${family} · ${compact(parameters)} parameters · ${megabytes(bytes)}`;

function modelChoice(model) {
  const { id, name, label } = model;
  return el(
    "label",
    { class: "chip", title: `${label}: ${sizes(model)}` },
    el("input", { type: "radio", name: "model", value: id, "aria-label": `${label} ${sizes(model)}` }),
    el("span", { "aria-hidden": "true" }, name),
  );
}

/** Tasks that make sense for the model; the chosen one stays in the list in any case. */
function evaluations(view, catalog) {
  const unfit = view.why_not.eval ?? {};
  return catalog.evaluations.filter((e) => unfit[e.id] === undefined || e.id === view.settings.eval);
}
