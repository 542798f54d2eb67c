// Fetches one model of the hub into the browser's private file system. Bytes are written where they belong as they come, so
// that whatever ends this worker leaves a beginning to go on from; each file is checked against the hub's hash.

/** @import { Hub, Listed, Listing } from "../state.js" */

import { HubError, ask, pieces } from "./protocol.js";
import { Sha256 } from "./sha256.js";
import { ABOUT, folderName, place } from "./store.js";

const PIECE = 1 << 20;
/** How often a transfer that broke off after it had begun is taken up again by itself. */
const MOST_TRIES = 5;
const SHOW_MS = 100;
/** How often, and after what time, a file that somebody else holds is asked for again: six seconds in all. */
const MOST_LOCKED = 30;
const LOCKED_MS = 200;

const stop = new AbortController();

addEventListener("message", async ({ data: { hub, listing } }) => {
  // The page's only other message: to stop, with every file closed. A file that is open when its worker goes may lose all.
  if (!listing) return stop.abort();
  try {
    await fetchAll({ ...hub, signal: stop.signal }, listing);
    postMessage({ type: "done" });
  } catch (error) {
    postMessage({ type: "failed", text: error instanceof HubError ? error.message : sentence(error) });
  }
});

function sentence(error) {
  if (error.name === "QuotaExceededError")
    return "The browser gives this page no more room on the disk. What came is kept; delete another model below, or make room on the disk.";
  if (error.name === "NoModificationAllowedError") return "Another tab is fetching the same model; wait for it, or close it.";
  return `The model could not be kept (${error.message}). In a private window browsers keep no files; drop the files here instead.`;
}

/** @param {Hub} hub @param {Listing} listing */
async function fetchAll(hub, listing) {
  const folder = await (await place(true)).getDirectoryHandle(folderName(listing), { create: true });
  const checked = await known(folder);
  for (const file of listing.files) {
    if (!checked.includes(file.name)) {
      await write(folder, listing, checked);
      await fetchOne(hub, listing, folder, file);
      checked.push(file.name);
    }
    postMessage({ type: "progress", name: file.name, done: file.bytes });
  }
  await write(folder, listing, checked);
}

/** Names of the files that are whole and right. */
async function known(folder) {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(ABOUT)).getFile()).text()).checked;
  } catch {
    return [];
  }
}

async function write(folder, listing, checked) {
  const out = await open(folder, ABOUT);
  try {
    const text = new TextEncoder().encode(JSON.stringify({ ...listing, checked }));
    out.truncate(0);
    put(out, text, 0);
    out.flush();
  } finally {
    out.close();
  }
}

/** A worker that was ended a moment ago, with its page or without, may still hold the file: it is asked for again. */
async function open(folder, name) {
  const file = await folder.getFileHandle(name, { create: true });
  for (let tries = 1; ; tries += 1) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (error.name !== "NoModificationAllowedError" || tries === MOST_LOCKED) throw error;
      await new Promise((later) => setTimeout(later, LOCKED_MS));
    }
  }
}

/** Writes all of it, or says that there is no room. */
function put(out, bytes, at) {
  if (out.write(bytes, { at }) < bytes.length) throw Object.assign(new Error("no room"), { name: "QuotaExceededError" });
}

/** @param {Hub} hub @param {Listing} listing @param {Listed} file */
async function fetchOne(hub, listing, folder, file) {
  const out = await open(folder, file.name);
  try {
    const copy = { out, hash: new Sha256(), have: 0, shown: 0 };
    takeUp(copy, file);
    for (let tries = 1; copy.have < file.bytes; tries += 1) {
      try {
        await attempt(hub, listing, file, copy);
      } catch (error) {
        if (!error.isBroken || tries === MOST_TRIES) throw error;
      }
    }
    check(file, copy);
  } finally {
    out.flush();
    out.close();
  }
}

/** What is there already, as long as it can be a beginning of the file. */
function takeUp(copy, file) {
  const size = copy.out.getSize();
  if (size > file.bytes) return copy.out.truncate(0);
  const buffer = new Uint8Array(PIECE);
  while (copy.have < size) {
    const n = copy.out.read(buffer, { at: copy.have });
    if (n === 0) return copy.out.truncate(copy.have);
    copy.hash.update(buffer.subarray(0, n));
    copy.have += n;
    show(file, copy);
  }
}

/** Not every piece: the page draws what it is told. */
function show(file, copy) {
  if (performance.now() - copy.shown < SHOW_MS) return;
  copy.shown = performance.now();
  postMessage({ type: "progress", name: file.name, done: copy.have });
}

function startOver(copy) {
  copy.out.truncate(0);
  copy.hash = new Sha256();
  copy.have = 0;
}

/** @param {Hub} hub @param {Listing} listing @param {Listed} file */
async function attempt(hub, listing, file, copy) {
  const url = `${hub.address}/${listing.model}/resolve/${listing.commit}/${file.name}`;
  /** @type {Record<string, string>} */
  const headers = copy.have > 0 ? { range: `bytes=${copy.have}-` } : {};
  const answer = await ask(hub, url, listing.model, listing.commit, headers);
  if (answer.status === 416) {
    startOver(copy);
    throw broken(file, copy, "the hub has no such part of it");
  }
  const range = answer.headers.get("content-range");
  if (answer.status !== 206) startOver(copy);
  else if (range && !range.startsWith(`bytes ${copy.have}-`))
    throw new HubError(`${file.name}: the hub sends another part (${range}) than was asked for; refused.`);
  for await (const piece of pieces(hub, answer, listing.model)) {
    if (copy.have + piece.length > file.bytes) throw new HubError(`${file.name}: the hub sends more than the ${file.bytes} bytes that it lists; refused.`);
    put(copy.out, piece, copy.have);
    copy.hash.update(piece);
    copy.have += piece.length;
    show(file, copy);
  }
  if (copy.have < file.bytes) throw broken(file, copy, "the transfer broke off");
}

const broken = (file, copy, what) =>
  Object.assign(new HubError(`${file.name}: ${what} at ${copy.have} of ${file.bytes} bytes. What came is kept, and a second try goes on from there.`), {
    isBroken: true,
  });

function check(file, copy) {
  const found = copy.hash.hex();
  if (!file.sha256 || found === file.sha256) return;
  copy.out.truncate(0);
  throw new HubError(
    `${file.name}: what came has sha256 ${found.slice(0, 12)}…, the hub lists ${file.sha256.slice(0, 12)}…; it was removed. Try again; if it stays so, something between here and the hub changes files.`,
  );
}
