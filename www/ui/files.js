// A model of one's own: chosen or dropped files go to the engine; dropped data goes its own way (own-data.js). What is missing, it tells; files that come one
// after another add up until it has taken them.

import { byId, el, part } from "./dom.js";
import { isData, openData } from "./own-data.js";

/** What is gathered, by the name under which the engine gets it. A browser numbers a second download: "model (1).safetensors". */
const gathered = new Map();
const plain = (name) => name.replace(/ ?\(\d+\)(?=\.)/, "");
/** org/name@commit of the hub, where they come from there. */
let origin = "";
/** The number of the newest request to open them. */
let asked = 0;

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function files(app) {
  const input = byId("files");
  byId("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    read([...input.files], app);
    input.value = "";
  });

  const drop = byId("drop");
  const carries = (event) => app.view() && event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.hidden = !carries(event);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.hidden = true;
  });
  addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (!carries(event)) return;
    const dropped = [...event.dataTransfer.files];
    const data = dropped.find(isData);
    if (data) openData(data, app);
    read(
      dropped.filter((file) => !isData(file)),
      app,
    );
  });

  const draw = part(byId("gathered"), (names) => {
    if (names.length === 0) return [];
    const forget = el("button", { type: "button", class: "small" }, "Forget them");
    forget.addEventListener("click", () => {
      forgetAll();
      app.redraw();
    });
    const made = [el("p", { class: "note" }, `Gathered: ${names.join(", ")}. Add what is still missing.`), forget];
    if (`${names}` !== "config.json") return made;
    const random = el("button", { type: "button", class: "small" }, "Try its shape with random weights");
    random.addEventListener("click", () => read([...gathered.values()], app, true));
    return [...made, random];
  });
  return (view) => {
    const taken = view && view.answers >= asked && view.settings.model === "own" && !view.notices.some(({ level }) => level === "error");
    if (taken) forgetAll();
    draw([...gathered.keys()]);
  };
}

function forgetAll() {
  gathered.clear();
  origin = "";
}

/** Opens a whole model and nothing that was gathered before; `origin` is org/name@commit of the hub. */
export function openFiles(list, app, from) {
  gathered.clear();
  origin = from;
  return read(list, app);
}

/** Weights stay with the browser, from which the engine reads them tensor by tensor. */
const isWeights = (name) => /\.(safetensors|bin)$/i.test(name);

/** How often something was read. */
let reads = 0;

/** Reads all that is gathered, and hands the weights over as they are. A later reading has all of an earlier one, which then
 *  is not sent: it could come after it, with less. */
async function read(list, app, random = false) {
  if (list.length === 0) return;
  reads += 1;
  const mine = reads;
  for (const file of list) gathered.set(plain(file.name), file);
  let name = "";
  try {
    const files = [];
    for (const [plainName, file] of gathered) {
      name = file.name;
      // A folder is found out here; the engine would only say that it cannot be read.
      await file.slice(0, 1).arrayBuffer();
      files.push({ name: plainName, bytes: isWeights(plainName) ? file : new Uint8Array(await file.arrayBuffer()) });
    }
    if (mine === reads) asked = app.send({ type: "open", files, origin, random });
  } catch (error) {
    gathered.delete(plain(name));
    app.complain(`${name} could not be read (${error.message}). Nothing was opened. ` + "Choose the files themselves, not their folder.");
  }
}
