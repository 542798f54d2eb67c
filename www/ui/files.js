// A model of one's own: chosen or dropped files go to the engine as bytes. What is missing, it tells; files that come one
// after another add up until it has taken them.

import { byId, el, part } from "./dom.js";

/** What is gathered, by the name under which the engine gets it. A browser numbers a second download: "model (1).safetensors". */
const gathered = new Map();
const plain = (name) => name.replace(/ ?\(\d+\)(?=\.)/, "");
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
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.hidden = true; });
  addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (carries(event)) read([...event.dataTransfer.files], app);
  });

  const draw = part(byId("gathered"), (names) => {
    if (names.length === 0) return [];
    const forget = el("button", { type: "button", class: "small" }, "Forget them");
    forget.addEventListener("click", () => { gathered.clear(); app.redraw(); });
    return [el("p", { class: "note" }, `Gathered: ${names.join(", ")}. Add what is still missing.`), forget];
  });
  return (view) => {
    const taken = view && view.answers >= asked && view.settings.model === "own" && !view.notices.some(({ level }) => level === "error");
    if (taken) gathered.clear();
    draw([...gathered.keys()]);
  };
}

/** Reads all that is gathered; the browser holds files, so nothing is kept in memory twice. */
async function read(list, app) {
  if (list.length === 0) return;
  for (const file of list) gathered.set(plain(file.name), file);
  let name = "";
  try {
    const files = [];
    for (const [plainName, file] of gathered) {
      name = file.name;
      files.push({ name: plainName, bytes: new Uint8Array(await file.arrayBuffer()) });
    }
    asked = app.send({ type: "open", files }, files.map((file) => file.bytes.buffer));
  } catch (error) {
    gathered.delete(plain(name));
    app.complain(`${name} could not be read (${error.message}). Nothing was opened. ` +
      "Choose the files themselves, not their folder; a file above about 2 GB is more than a browser tab can hold.");
  }
}
