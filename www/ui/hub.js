// A model of the hub: looked up, shown, fetched and kept, each after a click of its own; what is kept can be opened and
// deleted. The bytes go the way of dropped files.

/** @import { Listing } from "../state.js" */
/** @import { Kept } from "../hub/store.js" */

import { count, megabytes } from "../format.js";
import { HubError, hubOfPage, look } from "../hub/protocol.js";
import { filesOf, folderName, kept, remove } from "../hub/store.js";
import { byId, el, fact, part, shelf, text } from "./dom.js";
import { openFiles } from "./files.js";

/** What WebAssembly can address, and what a run takes beside the weights. */
const TAB_BYTES = 2 ** 32;
const BESIDE_BYTES = 250e6;
/** How long a cancelled download may take to close its files: one that is open when its worker goes may lose all. */
const GRACE_MS = 10_000;

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function hub(app) {
  const at = hubOfPage();
  const host = new URL(at.address).host;
  const field = el("input", {
    id: "hub-name",
    type: "text",
    placeholder: "org/name or org/name@revision",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 300,
    "aria-describedby": "hub-help",
  });
  const lookUp = button("Look up", () => find(field.value));
  const card = el("div", { id: "hub-card" });
  const said = el("p", { id: "hub-said", class: "note", role: "status" });
  const keptBox = el("div", { id: "hub-kept" });
  const box = el(
    "details",
    { id: "hub-box" },
    el("summary", {}, "From the Hugging Face hub"),
    el("div", { class: "field" }, el("label", { for: "hub-name" }, "Model of the hub"), el("div", { class: "row" }, field, lookUp)),
    el("small", { id: "hub-help" }, `Nothing is asked of ${host} before you press a button.`),
    said,
    card,
    keptBox,
  );
  byId("hub").replaceChildren(box);
  // Another tab may have fetched or deleted since.
  box.addEventListener("toggle", () => {
    if (box.open) refresh();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    find(field.value);
  });

  /** @type {{ listing?: Listing, room?: number, done?: Record<string, number>, awaited?: string, kept: Kept[] }} */
  const state = { kept: [] };
  /** @type {Worker | undefined} */
  let worker;
  let silent;
  let looking;
  /** Until a cancelled download has closed its files. @type {Promise<void>} */
  let left = Promise.resolve();

  async function find(name) {
    looking?.abort();
    looking = new AbortController();
    const { signal } = looking;
    state.listing = undefined;
    text(said, `Asking ${host} what ${name.trim().slice(0, 80)} is.`);
    draw();
    try {
      const listing = await look({ ...at, signal }, name);
      const { quota = 0, usage = 0 } = await navigator.storage.estimate();
      if (signal.aborted) return;
      Object.assign(state, { listing, room: quota - usage });
      text(said, "");
    } catch (error) {
      if (!signal.aborted) text(said, told(error));
    }
    draw();
  }

  /** @param {Listing} listing */
  async function fetchAll(listing) {
    /** @type {Record<string, number>} */
    const mine = {};
    state.done = mine;
    text(said, "");
    draw();
    await left;
    // Cancelled, or begun anew, while it waited.
    if (state.done !== mine) return;
    worker = new Worker(new URL("hub/worker.js", document.baseURI), { type: "module" });
    const isAlive = () => {
      clearTimeout(silent);
      silent = setTimeout(() => ended("The download stopped answering. What came is kept; go on with it.", listing), 2 * at.patience + GRACE_MS);
    };
    isAlive();
    worker.onmessage = async ({ data }) => {
      isAlive();
      if (data.type === "progress") state.done = { ...state.done, [data.name]: data.done };
      else await ended(data.type === "failed" ? data.text : "", listing);
      draw();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      ended(`The download could not be started (${event.message || "hub/worker.js is missing"}).`, listing);
    };
    worker.postMessage({ hub: at, listing });
    draw();
  }

  async function ended(problem, listing) {
    clearTimeout(silent);
    worker?.terminate();
    worker = state.done = undefined;
    text(said, problem || "Opening what came.");
    await refresh();
    if (problem) return;
    const whole = state.kept.find(({ folder, isWhole }) => isWhole && folder === folderName(listing));
    if (whole) await open(whole);
    else text(said, "What came cannot be read again. Look the model up, and go on.");
  }

  function cancel() {
    clearTimeout(silent);
    const stopped = worker;
    worker = state.done = undefined;
    text(said, "Cancelled. What came is kept, and goes on from there the next time.");
    // It still waits for the one before.
    if (!stopped) return draw();
    left = new Promise((/** @type {(_?: unknown) => void} */ over) => {
      // It closes its files and answers; one that hangs is ended without.
      stopped.onmessage = ({ data }) => data.type !== "progress" && over();
      setTimeout(over, GRACE_MS);
    }).then(() => {
      stopped.terminate();
      refresh();
    });
    stopped.onerror = (event) => event.preventDefault();
    stopped.postMessage({});
    draw();
  }

  /** @param {Kept} model */
  async function open(model) {
    try {
      await openFiles(await filesOf(model), app, `${model.model}@${model.commit}`);
      text(said, "");
      state.listing = undefined;
    } catch (error) {
      text(said, `The kept files of ${model.model} cannot be read (${error.message}). Delete them, and fetch them again.`);
    }
    draw();
  }

  async function discard(folder) {
    let word = "Deleted.";
    try {
      await remove(folder);
    } catch (error) {
      word = `The files could not be deleted (${error.message}); another tab may be using them.`;
    }
    await refresh();
    text(said, word);
  }

  async function refresh() {
    state.kept = await kept();
    draw();
  }

  const drawCard = part(card, ({ listing, room, done, awaited, kept }) => {
    if (done) return progress(/** @type {Listing} */ (listing), done, cancel);
    if (listing) return found(listing, room ?? 0, kept, fetchAll, open);
    return awaited ? [el("p", { class: "note" }, `The link is of ${awaited}.`), ...forLink(awaited, kept, find, open)] : [];
  });
  const drawShelf = part(keptBox, ({ kept, isBusy }) =>
    shelf(
      kept.map((model) =>
        line(
          model,
          isBusy,
          () => open(model),
          () => find(`${model.model}@${model.commit}`),
          () => discard(model.folder),
        ),
      ),
    ),
  );
  const draw = () => {
    lookUp.disabled = worker !== undefined;
    const { listing, room, done, awaited, kept } = state;
    drawCard({ listing, room, done, awaited, kept });
    drawShelf({ kept, isBusy: worker !== undefined });
  };
  refresh();
  return (view) => {
    field.disabled = !view;
    const awaited = view && !view.model && view.settings.model === "own" ? view.settings.origin : undefined;
    if (awaited === state.awaited) return;
    state.awaited = awaited;
    if (awaited) {
      field.value = awaited;
      box.open = true;
    }
    draw();
  };
}

const told = (error) => (error instanceof HubError ? error.message : `The hub's answer could not be read (${error.message}).`);

function button(label, act, attributes = {}) {
  const made = el("button", { type: "button", class: "small", ...attributes }, label);
  made.addEventListener("click", act);
  return made;
}

const isWeights = ({ name }) => /\.(safetensors|bin)$/.test(name);

/** Why a model cannot be opened or kept here, with both sizes; nothing if it can. */
function unfit(listing, room) {
  const weights = listing.files.filter(isWeights).reduce((sum, { bytes }) => sum + bytes, 0);
  const needed = weights + BESIDE_BYTES;
  if (needed > TAB_BYTES) return `It does not fit: it would take about ${megabytes(needed)} of memory, and a tab can have ${megabytes(TAB_BYTES)}.`;
  if (listing.bytes > room) return `It does not fit: ${megabytes(listing.bytes)} are to be kept, and the browser gives this page ${megabytes(room)}.`;
  return "";
}

/** The card of a model that was looked up. */
function found(listing, room, kept, fetchAll, open) {
  const before = kept.find(({ folder }) => folder === folderName(listing));
  const problem = before?.isWhole ? "" : unfit(listing, room);
  const words = before?.isWhole ? "Open the kept copy" : before ? "Go on with the download, then open" : "Download and open";
  return [
    el(
      "dl",
      { class: "facts" },
      fact("Model", `${listing.model}, ${listing.revision}`),
      fact("Commit", el("code", {}, listing.commit)),
      fact("Licence", listing.licence || "none stated; ask before you pass on what you make of it"),
      fact("Size", megabytes(listing.bytes), { more: `${listing.files.length} files` }),
      fact(
        "Fits",
        problem ||
          `Yes: about ${megabytes(listing.files.filter(isWeights).reduce((sum, { bytes }) => sum + bytes, BESIDE_BYTES))} of the ${megabytes(TAB_BYTES)} of memory that a tab can have.`,
      ),
    ),
    el(
      "ul",
      { class: "plain" },
      ...listing.files.map(({ name, bytes, sha256 }) => el("li", {}, name, el("small", {}, ` ${count(bytes)} bytes${sha256 ? "" : ", without a hash"}`))),
    ),
    problem ? undefined : button(words, () => (before?.isWhole ? open(before) : fetchAll(listing)), { class: "primary" }),
  ].filter((node) => node !== undefined);
}

/** A link's model: a kept copy, or a look at the hub. */
function forLink(origin, kept, find, open) {
  const whole = kept.find(({ isWhole, model, commit }) => isWhole && `${model}@${commit}` === origin);
  return [
    whole ? button("Open the kept copy", () => open(whole), { class: "primary" }) : button("Look it up at the hub", () => find(origin), { class: "primary" }),
  ];
}

function progress(listing, done, cancel) {
  const lines = listing.files.map(({ name, bytes }) => {
    const have = done[name] ?? 0;
    const bar = el("progress", { max: Math.max(bytes, 1), value: bytes === 0 && name in done ? 1 : have, "aria-label": `Download of ${name}` });
    return el("li", {}, name, el("small", {}, ` ${count(have)} of ${count(bytes)} bytes`), bar);
  });
  return [el("ul", { class: "plain" }, ...lines), button("Cancel download", cancel)];
}

function line(model, isBusy, open, goOn, discard) {
  const words = `${model.model}${model.commit ? `@${model.commit.slice(0, 8)}` : ""}`;
  const size = model.isWhole ? megabytes(model.kept) : `${megabytes(model.kept)} of ${megabytes(model.bytes)}`;
  const act = model.isWhole
    ? button("Open", open, { "aria-label": `Open ${words}`, disabled: isBusy })
    : button("Look up to go on", goOn, { "aria-label": `Go on with ${words}`, disabled: isBusy || !model.commit });
  return el(
    "li",
    { class: "row" },
    el("span", {}, words, el("small", {}, ` ${size}`)),
    act,
    button("Delete", discard, { "aria-label": `Delete ${words}`, disabled: isBusy }),
  );
}
