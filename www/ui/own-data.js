// Data of one's own for an evaluation: a file, or rows of a data set of the hub. The engine finds out which evaluation reads it.

import { count, megabytes } from "../format.js";
import { HubError, hubOfPage } from "../hub/protocol.js";
import { fetchRows, isKept, keepRows, keptFile, keptRows, lookRows, nameOf, readRows, removeRows } from "../hub/rows.js";
import { byId, el, fact, part, shelf, text } from "./dom.js";

/** As the engine has it; a larger file is not even read. */
const MOST_BYTES = 64 * 2 ** 20;
/** Texts that belong to a model. */
const OF_MODELS = ["merges.txt", "vocab.txt", "calibration.txt"];

/** Whether a dropped file is data, and no part of a model. */
export const isData = ({ name }) => /\.(jsonl|ndjson|txt|raw)$/i.test(name) && !OF_MODELS.includes(name.toLowerCase());

/** Hands a file to the engine. @param {File} file @param {import("../state.js").App} app */
export async function openData(file, app) {
  if (file.size > MOST_BYTES) return app.complain(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(MOST_BYTES)} are read.`);
  try {
    send(file.name, new Uint8Array(await file.arrayBuffer()), app);
  } catch (error) {
    app.complain(`${file.name} could not be read (${error.message}). Nothing was opened.`);
  }
}

const send = (name, bytes, app) => app.send({ type: "open_data", name, bytes });

function button(label, act, attributes = {}) {
  const made = el("button", { type: "button", class: "small", ...attributes }, label);
  made.addEventListener("click", act);
  return made;
}

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function ownData(app) {
  const input = el("input", { type: "file", id: "data-file", hidden: true, "aria-label": "Data of your own" });
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) openData(file, app);
  });
  const help = el("small", { id: "data-help" }, "JSON lines of {context, choices, answer} or {context, target}, rows of a task, or a text");
  const open = button("Open your own items…", () => input.click(), { "aria-describedby": help.id });
  const shown = el("p", { id: "data-open", class: "note", "aria-live": "polite" });
  byId("own-data").replaceChildren(el("div", { class: "row" }, open, input, help), shown, rowsBox(app));
  const draw = part(shown, (data) =>
    data ? [`Open: ${data.name}, ${count(data.bytes)} bytes, sha256 `, el("code", { title: data.sha256 }, data.sha256.slice(0, 16)), "."] : [],
  );
  return (view) => {
    open.disabled = !view;
    draw(view?.data ?? null);
  };
}

/** Rows of the hub: looked up, shown, fetched, kept and deleted, each after a click of its own. */
function rowsBox(app) {
  const at = hubOfPage();
  const host = new URL(at.address).host;
  const field = el("input", {
    id: "rows-name",
    type: "text",
    placeholder: "org/name:config:split",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 300,
    "aria-describedby": "rows-help",
  });
  const said = el("p", { id: "rows-said", class: "note", role: "status" });
  const [card, keptBox] = [el("div", { id: "rows-card" }), el("div", { id: "rows-kept" })];
  const lookUp = button("Look up rows", () => find(field.value));
  const box = el(
    "details",
    { id: "rows-box" },
    el("summary", {}, "Rows of a data set of the hub"),
    el("div", { class: "field" }, el("label", { for: "rows-name" }, "Data set of the hub"), el("div", { class: "row" }, field, lookUp)),
    el("small", { id: "rows-help" }, `Such as Rowan/hellaswag:default:validation. Nothing is asked of ${host} before you press a button.`),
    said,
    card,
    keptBox,
  );
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    find(field.value);
  });
  box.addEventListener("toggle", () => {
    if (box.open) refresh();
  });

  /** @type {{ rows?: import("../hub/rows.js").Rows, done?: number, kept: Awaited<ReturnType<typeof keptRows>> }} */
  const state = { kept: [] };
  let asking = new AbortController();

  /** Does one thing at a time; what goes wrong is said. */
  async function attempt(work) {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      await work(signal);
    } catch (error) {
      if (signal.aborted) return;
      text(said, error instanceof HubError ? error.message : `The rows could not be read (${error.message}).`);
      state.done = undefined;
    }
    draw();
  }

  const find = (name) =>
    attempt(async (signal) => {
      state.rows = state.done = undefined;
      text(said, `Asking ${host} what ${name.trim().slice(0, 80)} is.`);
      draw();
      state.rows = await lookRows({ ...at, signal }, name);
      text(said, "");
    });

  const fetchAll = (rows) =>
    attempt(async (signal) => {
      state.done = 0;
      text(said, "");
      draw();
      const bytes = await fetchRows({ ...at, signal }, rows, (done) => {
        state.done = done;
        draw();
      });
      const isKept = await keepRows(rows, bytes);
      state.rows = state.done = undefined;
      text(said, isKept ? "" : "This browser keeps no files here; the rows are open, and gone with this tab.");
      send(nameOf(rows), bytes, app);
      await refresh();
    });

  function cancel() {
    asking.abort();
    state.done = undefined;
    text(said, "Cancelled.");
    draw();
  }

  const openKept = (kept) => attempt(async () => send(kept.name, await readRows(kept.file), app));
  const discard = (kept) =>
    attempt(async () => {
      await removeRows(kept.file);
      await refresh();
      text(said, "Deleted.");
    });

  async function refresh() {
    state.kept = await keptRows();
    draw();
  }

  const drawCard = part(card, ({ rows, done, kept }) => {
    if (!rows) return [];
    if (done !== undefined) {
      const bar = el("progress", { max: rows.total, value: done, "aria-label": `Rows of ${nameOf(rows)}` });
      return [el("p", {}, `${count(done)} of ${count(rows.total)} rows`), bar, button("Cancel rows", cancel)];
    }
    const before = isKept(kept, rows) && { file: keptFile(rows), name: nameOf(rows), commit: rows.commit };
    return [
      el(
        "dl",
        { class: "facts" },
        fact("Rows", count(rows.total), { more: nameOf(rows) }),
        fact("Commit", el("code", {}, rows.commit)),
        fact("Licence", rows.licence || "none stated; ask before you pass on what you make of it"),
      ),
      before
        ? button("Open the kept rows", () => openKept(before), { class: "primary" })
        : button("Fetch and open", () => fetchAll(rows), { class: "primary" }),
    ];
  });
  const drawShelf = part(keptBox, (kept) =>
    shelf(
      kept.map((one) =>
        el(
          "li",
          { class: "row" },
          el("span", {}, one.name, el("small", {}, ` ${one.commit.slice(0, 8)}`)),
          button("Open", () => openKept(one), { "aria-label": `Open ${one.name}` }),
          button("Delete", () => discard(one), { "aria-label": `Delete ${one.name}` }),
        ),
      ),
    ),
  );
  function draw() {
    const { rows, done, kept } = state;
    lookUp.disabled = done !== undefined;
    drawCard({ rows, done, kept });
    drawShelf(kept);
  }
  return box;
}
