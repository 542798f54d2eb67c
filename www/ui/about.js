// What the numbers rest on: backend, model, methods, fields of the configuration that were not used.

import "../simd.js";
import { count, megabytes, timing } from "../format.js";
import { byId, el, empty, fact, part, reason } from "./dom.js";

/** @returns {import("../state.js").Panel} */
export function about() {
  const badge = byId("backend-badge");
  const draw = part(byId("about"), (state) => {
    if (!state) return [empty("The backend and the model are named here.")];
    const { backend, why, model, methods, first } = state;
    return [
      el(
        "dl",
        { class: "facts wide" },
        fact("Backend", backend, { more: why && reason(why) }),
        ...(model ? ofModel(model) : []),
        ...methods.map(({ label, summary, source }) => fact(label, summary, { more: source })),
        ...ofEngine(document.documentElement.dataset),
        ...(first != null ? [fact("First baseline number", `${timing(first)} ms after the start of the run`)] : []),
      ),
      ...(model?.card ? [el("details", {}, el("summary", {}, "Model card"), el("pre", { class: "card", tabindex: "0" }, model.card))] : []),
    ];
  });
  return (view, catalog) => {
    badge.hidden = !view?.backend;
    badge.textContent = view?.backend ?? "";
    draw(
      view && {
        backend: view.run?.backend || view.backend,
        why: view.backend_why,
        model: view.model,
        methods: [...compressions(view, catalog), ...chosen(catalog.evaluations, view.settings.eval)],
        first: view.run?.first_number_ms,
      },
    );
  };
}

/** What a built page knows of its engine; `cargo xtask page` fills it in. */
function ofEngine(dataset) {
  const sha256 = dataset[globalThis.isRelaxed ? "relaxed" : "engine"];
  if (!sha256) return [];
  const more = el("a", { href: "NOTICES.txt" }, "Licences of everything in it");
  return [fact("SHA-256 of the engine", el("code", {}, sha256), { more })];
}

function ofModel({ label, family, parameters, bytes, sha256, ignored }) {
  return [
    fact("Model", label, { more: `${family} · ${count(parameters)} parameters · ${megabytes(bytes)}` }),
    fact("SHA-256 of the weights", sha256 ? el("code", {}, sha256) : "not known yet"),
    ...(ignored.length ? [fact("Unknown fields of config.json", ignored.join(", "), { more: "They were not used." })] : []),
  ];
}

/** The methods of compression that the settings name. */
export function compressions({ settings }, catalog) {
  return [...chosen(catalog.reductions, settings.reduce), ...chosen(catalog.prunings, settings.prune)];
}

const chosen = (list, id) => list.filter((method) => method.id === id);
