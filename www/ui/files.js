// A model of one's own: chosen or dropped files go to the engine as bytes. What is missing, it tells.

import { byId } from "./dom.js";

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
}

async function read(list, app) {
  if (list.length === 0) return;
  let name = "";
  try {
    const files = [];
    for (const file of list) {
      name = file.name;
      files.push({ name, bytes: new Uint8Array(await file.arrayBuffer()) });
    }
    app.send({ type: "open", files }, files.map((file) => file.bytes.buffer));
  } catch (error) {
    app.complain(`${name} could not be read (${error.message}). Nothing was opened. ` +
      "Choose the files themselves, not their folder; a file above about 2 GB is more than a browser tab can hold.");
  }
}
