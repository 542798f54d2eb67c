// Runs that were made, here and before: search, name, restore, delete, compare side by side, take home.

import { idOf } from "../points.js";
import { openStore } from "../store.js";
import { save } from "./chart/export.js";
import { byId, cell, el, empty, table, text } from "./dom.js";
import { comparison } from "./compare.js";
import { figures, setting } from "./figures.js";
import { fromJson, toCsv, toJson, toMarkdown } from "./exports.js";

/** @import { Kept } from "../store.js" */

const MOST_PINNED = 3;
/** @type {[string, (runs: Kept[]) => string, string, string][]} */
const EXPORTS = [
  ["CSV", toCsv, "text/csv", "csv"],
  ["JSON", toJson, "application/json", "json"],
  ["Markdown", toMarkdown, "text/markdown", "md"],
];

/** @param {import("../state.js").App} app */
export function history(app) {
  const root = byId("history");
  const notice = el(
    "p",
    { class: "notice warning", hidden: true },
    "This browser does not keep data for this page, so the runs go with the tab. Export what you want to keep.",
  );
  const search = el("input", { type: "search", "aria-label": "Search runs", placeholder: "Search runs", autocomplete: "off" });
  const said = el("p", { class: "note", "aria-live": "polite" });
  const list = el("div");
  const compare = comparison(app);
  const chosen = el("input", { type: "file", accept: ".json,.jsonl,application/json", hidden: true, "aria-label": "Runs to import" });
  const importing = small("Import…", () => chosen.click());
  const exporting = EXPORTS.map(([label, write, type, ending]) =>
    small(label, () => save(new Blob([write(found())], { type }), `whittle-runs.${ending}`), { "aria-label": `Export the listed runs as ${label}` }),
  );
  root.replaceChildren(notice, el("div", { class: "row tools" }, search, ...exporting, importing, chosen), list, said, compare.node);

  /** @type {Kept[]} */
  let runs = [];
  const pinned = new Set();
  // Nothing is kept before what is there was read: a run that ends earlier would take the name from its kept twin.
  const store = openStore().then(async (opened) => {
    notice.hidden = !opened.refused;
    const there = await opened.all().catch(() => {
      notice.hidden = false;
      return [];
    });
    runs = there.sort((a, b) => b.at.localeCompare(a.at));
    for (const { point } of runs) app.points.add(point, "kept");
    draw();
    return opened;
  });

  const found = () => runs.filter((run) => haystack(run).includes(search.value.toLowerCase().trim()));
  search.addEventListener("input", () => draw());
  chosen.addEventListener("change", async () => {
    const files = [...chosen.files];
    chosen.value = "";
    const fresh = (await Promise.all(files.map((file) => file.text()))).flatMap(fromJson);
    for (const run of fresh) await keep(run, "kept");
    text(
      said,
      fresh.length
        ? `${fresh.length} run${fresh.length === 1 ? "" : "s"} imported.`
        : "No run was found in the file; expected the JSON that Export writes, or one point a line.",
    );
  });

  /** @param {Kept} run */
  async function keep(run, source = "live") {
    const opened = await store;
    const before = runs.find(({ id }) => id === run.id);
    const kept = { ...run, name: run.name || before?.name || "" };
    runs = [kept, ...runs.filter(({ id }) => id !== run.id)];
    app.points.add(kept.point, source);
    draw();
    try {
      await opened.put(kept);
    } catch {
      notice.hidden = false;
    }
  }

  async function remove(run) {
    runs = runs.filter(({ id }) => id !== run.id);
    pinned.delete(run.id);
    app.points.remove(run.point.key);
    draw();
    text(said, "Deleted.");
    search.focus();
    await (await store).remove(run.id);
  }

  function draw() {
    const shown = found();
    const line = (run) =>
      row(run, {
        pinned,
        pin: (on) => {
          pin(run.id, on);
          draw();
        },
        remove: () => remove(run),
        rename: (name) => keep({ ...run, name }),
        restore: () => app.send({ type: "link", fragment: run.point.fragment }),
      });
    list.replaceChildren(
      shown.length
        ? table(
            "Runs table",
            "Every finished run, the newest first. Pin two or three to compare them.",
            ["Pin", "Run", "Quality", "Change", "Prefill", "Decode", "Actions"],
            shown.map(line),
            { "aria-label": "Runs" },
          )
        : empty(runs.length ? "No run has these words." : "Every finished run is kept here."),
    );
    compare.show(runs.filter(({ id }) => pinned.has(id)));
  }

  function pin(id, on) {
    if (!on) {
      pinned.delete(id);
      return;
    }
    if (pinned.size >= MOST_PINNED) pinned.delete([...pinned][0]);
    pinned.add(id);
  }
  draw();
  return { keep };
}

function small(label, act, attributes = {}) {
  const button = el("button", { type: "button", class: "small", ...attributes }, label);
  button.addEventListener("click", act);
  return button;
}

const haystack = ({ name, at, point: p }) => [name, at, p.model, p.evaluation, p.reduce, p.prune, p.backend].join(" ").toLowerCase();

function row(run, { pinned, pin, remove, rename, restore }) {
  const { point: p } = run;
  const words = `${setting(p)} on ${idOf(p.model)}`;
  const tick = el("input", { type: "checkbox", "aria-label": `Pin ${words}`, checked: pinned.has(run.id) });
  tick.checked = pinned.has(run.id);
  tick.addEventListener("change", () => pin(tick.checked));
  const name = el("input", { type: "text", "aria-label": `Name of ${words}`, placeholder: "name", maxlength: 200, autocomplete: "off", class: "name" });
  name.value = run.name;
  name.addEventListener("change", () => rename(name.value));
  const date = run.at ? new Date(run.at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "";
  return el(
    "tr",
    { role: "row" },
    el("td", { role: "cell" }, el("label", { class: "tick" }, tick)),
    el("th", { scope: "row", role: "rowheader" }, name, el("code", {}, setting(p)), el("small", {}, [p.model, p.evaluation, date].filter(Boolean).join(" · "))),
    ...figures(p).map(([value, detail]) => cell(value, detail)),
    el(
      "td",
      { role: "cell", class: "acts" },
      small("Restore", restore, { "aria-label": `Restore ${words}` }),
      small("Delete", remove, { "aria-label": `Delete ${words}` }),
    ),
  );
}
