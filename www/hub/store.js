// Models of the hub that are kept in this browser: a folder for each commit in its private file system, with `about.json`
// beside the files. Written by worker.js alone.

/** @import { Listing } from "../state.js" */
/** @typedef {Listing & { checked: string[], folder: string, isWhole: boolean, kept: number }} Kept `kept` in bytes. */

export const ABOUT = "about.json";

export const folderName = ({ model, commit }) => `${model.replace("/", "--")}--${commit}`;

/** @returns {Promise<FileSystemDirectoryHandle>} Rejects where there is no such folder, and where the browser keeps no files (WebKitGTK). */
export async function place(create = false) {
  if (!navigator.storage?.getDirectory) throw new Error("this browser has no place for the files of a page");
  return (await navigator.storage.getDirectory()).getDirectoryHandle("hub", { create });
}

/** All that is kept, whole or not; nothing where the browser keeps no files. @returns {Promise<Kept[]>} */
export async function kept() {
  const list = [];
  try {
    const root = await place();
    for await (const [folder, handle] of /** @type {any} */ (root).entries()) {
      if (handle.kind === "directory") list.push(await about(folder, handle));
    }
  } catch {
    // No such folder yet, or no private file system.
  }
  return list.sort((a, b) => a.model.localeCompare(b.model));
}

/** @param {FileSystemDirectoryHandle} handle @returns {Promise<Kept>} */
async function about(folder, handle) {
  let bytes = 0;
  for await (const file of /** @type {any} */ (handle).values()) {
    // A file that its writer has only just let go may not be readable yet: it hides no other.
    if (file.name !== ABOUT)
      bytes += await file.getFile().then(
        ({ size }) => size,
        () => 0,
      );
  }
  try {
    const told = JSON.parse(await (await (await handle.getFileHandle(ABOUT)).getFile()).text());
    const isWhole = told.files.every(({ name }) => told.checked.includes(name));
    return { ...told, folder, isWhole, kept: bytes };
  } catch {
    // A tab that ended while it wrote: only deleting is left.
    return { model: folder, revision: "", commit: "", licence: "", files: [], bytes: 0, checked: [], folder, isWhole: false, kept: bytes };
  }
}

/** @param {Kept} model @returns {Promise<File[]>} */
export async function filesOf(model) {
  const folder = await (await place()).getDirectoryHandle(model.folder);
  return Promise.all(model.files.map(async ({ name }) => (await folder.getFileHandle(name)).getFile()));
}

export async function remove(folder) {
  await (await place()).removeEntry(folder, { recursive: true });
}
