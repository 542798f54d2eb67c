// Rows of a data set of the hub as JSON lines, the same bytes as src/cli/hub/rows.rs makes of them. Nothing is asked but by
// `lookRows` and `fetchRows`, which only a click leads to. What was fetched is kept in the browser's private file system.

/** @import { Hub } from "../state.js" */
/** @typedef {{ dataset: string, config: string, split: string }} Split */
/** @typedef {Split & { commit: string, licence: string, total: number }} Rows */

import { HubError, PLAIN, ask, whole } from "./protocol.js";

/** Most rows that an evaluation scores. */
const MOST_ROWS = 20_000;
const MOST_BYTES = 64 * 2 ** 20;
/** Rows of one answer, the most that the hub gives. */
const PAGE = 100;
/** What errors of a transfer say, in the place of words about models. */
const WORDS = { word: "data set", again: "Nothing of it was opened; try again." };

/** "org/name:config:split". @param {string} text @returns {Split} */
export function splitNamed(text) {
  const [dataset, config, split, more] = text.trim().split(":");
  const names = dataset.split("/");
  const isName = names.length === 2 && more === undefined && [...names, config, split].every((part) => PLAIN.test(part ?? ""));
  if (!isName)
    throw new HubError(`“${text.trim().slice(0, 80)}” names no rows of the hub; expected org/name:config:split, such as Rowan/hellaswag:default:validation.`);
  return { dataset, config, split };
}

export const nameOf = ({ dataset, config, split }) => `${dataset}:${config}:${split}`;

/** What there is of a split: two requests. @param {Hub} hub @param {string} text @returns {Promise<Rows>} */
export async function lookRows(hub, text) {
  const split = splitNamed(text);
  const at = { ...hub, ...WORDS };
  const answer = await ask(at, `${hub.address}/api/datasets/${split.dataset}/revision/main`, split.dataset, "main");
  const { sha, tags } = parsed(split, await whole(at, answer, split.dataset)) ?? {};
  if (!/^[0-9a-f]{40}$/.test(sha)) throw odd(split, "its commit is not 40 hex digits");
  const licence = (Array.isArray(tags) ? tags : []).map(String).find((tag) => tag.startsWith("license:"));
  const rows = { ...split, commit: sha, licence: licence?.slice(8) ?? "", total: 0 };
  const { num_rows_total: total } = await page(at, rows, 0, 1);
  return { ...rows, total };
}

/** All rows as JSON lines. @param {Hub} hub @param {Rows} rows @param {(done: number) => void} hear @returns {Promise<Uint8Array>} */
export async function fetchRows(hub, rows, hear) {
  const at = { ...hub, ...WORDS };
  const encoder = new TextEncoder();
  const parts = [];
  let bytes = 0;
  for (let done = 0; done < rows.total; ) {
    const { rows: list, num_rows_total: total } = await page(at, rows, done, PAGE);
    if (total !== rows.total) throw odd(rows, "the number of rows changed on the way");
    const lines = encoder.encode(list.map(({ row }) => `${JSON.stringify(sorted(row))}\n`).join(""));
    bytes += lines.length;
    if (bytes > MOST_BYTES) throw tooLarge(rows, "its rows have more than 64 MiB");
    parts.push(lines);
    done += list.length;
    hear(done);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** One answer with rows, checked. */
async function page(hub, rows, offset, length) {
  const query = new URLSearchParams({ dataset: rows.dataset, config: rows.config, split: rows.split, offset: String(offset), length: String(length) });
  const address = hub.address.replace(/^https:\/\//, "https://datasets-server.");
  const answer = await ask(hub, `${address}/rows?${query}`, nameOf(rows), "main");
  const revision = answer.headers.get("x-revision");
  if (revision && revision !== rows.commit)
    throw new HubError(`${nameOf(rows)}: the rows are still those of commit ${revision.slice(0, 40)}, the data set is at ${rows.commit}; try again later.`);
  const found = parsed(rows, await whole(hub, answer, nameOf(rows)));
  const { rows: list, num_rows_total: total, partial } = found ?? {};
  if (!Array.isArray(list) || !Number.isSafeInteger(total)) throw odd(rows, "it has no rows");
  if (partial) throw tooLarge(rows, "the hub's service has its beginning only");
  if (total > MOST_ROWS) throw tooLarge(rows, `it has ${total} rows, more than ${MOST_ROWS}`);
  if (total < 1) throw new HubError(`${nameOf(rows)}: the split has no rows.`);
  const isRow = ({ row_idx, row }, i) => row_idx === offset + i && row !== null && typeof row === "object" && !Array.isArray(row);
  if (list.length !== Math.min(length, total - offset) || !list.every((row, i) => isRow(row ?? {}, i)))
    throw odd(rows, `${list.length} rows where ${Math.min(length, total - offset)} from row ${offset} were asked for`);
  const cut = list.find(({ truncated_cells }) => truncated_cells?.length > 0);
  if (cut) throw tooLarge(rows, `row ${cut.row_idx} comes cut short`);
  return { rows: list, num_rows_total: total };
}

/** Fields in the order of their names, as the command line writes them. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

function parsed(split, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw odd(split, "it is not JSON");
  }
}

const odd = (split, what) => new HubError(`${nameOf(split)}: the hub's answer is not understood (${what}).`);
const tooLarge = (split, what) => new HubError(`${nameOf(split)}: ${what}; refused. Fetch the data set's files yourself (hf download) and open one here.`);

const folder = async (create = false) => (await navigator.storage.getDirectory()).getDirectoryHandle("rows", { create });
/** A ":" and a "/" are in no part of a name. */
const fileName = (rows) => `${nameOf(rows).replaceAll(":", "~").replace("/", "~")}~${rows.commit}.jsonl`;

/** Keeps rows; false where the browser keeps no files. @param {Rows} rows @param {Uint8Array} bytes */
export async function keepRows(rows, bytes) {
  try {
    const file = await (await folder(true)).getFileHandle(fileName(rows), { create: true });
    const out = await file.createWritable();
    await out.write(/** @type {BufferSource} */ (bytes));
    await out.close();
    return true;
  } catch {
    return false;
  }
}

/** What is kept. @returns {Promise<{ file: string, name: string, commit: string }[]>} */
export async function keptRows() {
  const list = [];
  try {
    for await (const file of /** @type {any} */ (await folder()).keys()) {
      const [org, short, config, split, commit] = file.replace(/\.jsonl$/, "").split("~");
      if (commit) list.push({ file, name: nameOf({ dataset: `${org}/${short}`, config, split }), commit });
    }
  } catch {
    // No such folder yet, or no private file system.
  }
  return list.sort((a, b) => a.name.localeCompare(b.name));
}

/** The bytes of kept rows. @returns {Promise<Uint8Array>} */
export async function readRows(file) {
  return new Uint8Array(await (await (await (await folder()).getFileHandle(file)).getFile()).arrayBuffer());
}

export async function removeRows(file) {
  await (await folder()).removeEntry(file);
}

export const isKept = (kept, rows) => kept.some(({ file }) => file === fileName(rows));
export const keptFile = fileName;
