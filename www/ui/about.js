// What the numbers rest on: backend, model, its card, fields of its configuration that were not used.

import { count, megabytes, timing } from "../format.js";
import { byId, el, empty, part } from "./dom.js";

export function about() {
  const badge = byId("backend-badge");
  const draw = part(byId("about"), (state) => {
    if (!state) return [empty("The backend and the model are named here.")];
    const { backend, why, model, first } = state;
    return [
      el("dl", { class: "facts wide" },
        ...line("Backend", backend, why),
        ...(model ? line("Model", model.label, `${model.family} · ${count(model.parameters)} parameters · ${megabytes(model.bytes)}`) : []),
        ...(model ? line("SHA-256 of the weights", model.sha256) : []),
        ...(first != null ? line("First baseline number", `${timing(first)} ms after the start of the run`) : []),
        ...(model?.ignored.length ? line("Unknown fields of config.json", model.ignored.join(", "), "They were not used.") : [])),
      ...(model?.card ? [el("details", {}, el("summary", {}, "Model card"), el("pre", { class: "card", tabindex: "0" }, model.card))] : []),
    ];
  });
  return (view) => {
    badge.hidden = !view?.backend;
    badge.textContent = view?.backend ?? "";
    draw(view ? { backend: view.run?.backend || view.backend, why: view.backend_why, model: view.model, first: view.run?.first_number_ms } : undefined);
  };
}

const line = (name, value, detail) => [
  el("dt", {}, name),
  el("dd", {}, value, detail ? el("small", {}, detail) : undefined),
];
