// What the page asks the Hugging Face hub, and what its answers mean. Nothing is asked but by `look` and `ask`, which only a
// click leads to. The hub's address stands in index.html (meta "hub"), and so do the hosts that the page may speak to.

/** @import { Hub, Listed, Listing } from "../state.js" */

const SMALL = [
  "config.json",
  "tokenizer.json",
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "tokenizer.model",
];
/** Largest answer about a model, or with rows. */
const MOST_LISTING = 32e6;
export const PLAIN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}$/;

/** A sentence for the person; every other error is a mistake of ours. */
export class HubError extends Error {}

/** The hub of this page. @returns {Hub} */
export function hubOfPage() {
  const meta = /** @type {HTMLMetaElement} */ (document.querySelector('meta[name="hub"]'));
  return { address: meta.content, patience: Number(meta.dataset.patience ?? 30_000) };
}

/** "org/name[@revision]", or the address of its page at the hub. @returns {{ model: string, revision: string }} */
export function named(text) {
  const short = text
    .trim()
    .replace(/^https?:\/\/[^/]+\//, "")
    .replace(/\/(tree|blob)\/([^/]+).*$/, "@$2")
    .replace(/\/$/, "");
  const [model, revision = "main", more] = short.split("@");
  const isName = model.split("/").length === 2 && model.split("/").every((part) => PLAIN.test(part));
  if (!isName || more !== undefined || !revision.split("/").every((part) => PLAIN.test(part))) {
    throw new HubError(`“${text.trim().slice(0, 80)}” names no model of the hub; expected org/name, or org/name@revision.`);
  }
  return { model, revision };
}

/** What there is of a model: one request. @param {Hub} hub @param {string} text @returns {Promise<Listing>} */
export async function look(hub, text) {
  const { model, revision } = named(text);
  const url = `${hub.address}/api/models/${model}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await ask(hub, url, model, revision);
  return listing(model, revision, await whole(hub, answer, model));
}

/** The text of an answer of bounded size. @param {Hub} hub @param {Response} answer */
export async function whole(hub, answer, model) {
  const parts = [];
  let length = 0;
  for await (const piece of pieces(hub, answer, model)) {
    parts.push(piece);
    length += piece.length;
    if (length > MOST_LISTING) throw new HubError(`${model}: the hub sent an answer without an end; it was not read.`);
  }
  return new Blob(parts).text();
}

/** @returns {Listing} */
function listing(model, revision, json) {
  const odd = (what) => new HubError(`${model}: the hub's answer is not understood (${what}).`);
  let about;
  try {
    about = JSON.parse(json);
  } catch {
    throw odd("it is not JSON");
  }
  const { sha, siblings, tags } = about ?? {};
  if (!/^[0-9a-f]{40}$/.test(sha)) throw odd("its commit is not 40 hex digits");
  if (!Array.isArray(siblings)) throw odd("it lists no files");
  const there = new Map(siblings.map((file) => [String(file?.rfilename), file]));
  const names = wanted([...there.keys()]);
  const found = [...there.keys()].slice(0, 12).join(", ");
  for (const [part, what] of [
    [/^config\.json$/, "config.json"],
    [/\.(safetensors|bin)$/, "model.safetensors or pytorch_model.bin"],
  ]) {
    if (!names.some((name) => /** @type {RegExp} */ (part).test(name)))
      throw new HubError(`${model} has no ${what} (found: ${found}), so it cannot be opened here.`);
  }
  const files = names.map((name) => {
    const { size, lfs } = there.get(name);
    const bytes = lfs?.size ?? size;
    const sha256 = lfs?.sha256 ?? "";
    if (!Number.isSafeInteger(bytes) || bytes < 0 || !/^([0-9a-f]{64})?$/.test(sha256)) throw odd(`${name} has no size or hash`);
    return { name, bytes, sha256 };
  });
  const licence =
    (Array.isArray(tags) ? tags : [])
      .map(String)
      .find((tag) => tag.startsWith("license:"))
      ?.slice(8) ?? "";
  return { model, revision, commit: sha, licence, files, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Of all files of a model, those that it is opened from, weights last; the same as src/cli/hub/listing.rs. */
export function wanted(there) {
  const names = SMALL.filter((name) => there.includes(name));
  for (const [stem, ending] of [
    ["model", "safetensors"],
    ["pytorch_model", "bin"],
  ]) {
    const whole = `${stem}.${ending}`;
    if (there.includes(whole)) return [...names, whole];
    const index = `${whole}.index.json`;
    const shard = new RegExp(`^${stem}-\\d{5}-of-\\d{5}\\.${ending}$`);
    if (there.includes(index)) return [...names, index, ...there.filter((name) => shard.test(name))];
    const only = there.filter((name) => name.endsWith(".safetensors"));
    if (ending === "safetensors" && only.length === 1 && PLAIN.test(only[0])) return [...names, only[0]];
  }
  return names;
}

/** One request. @param {Hub} hub @param {Record<string, string>} [headers] @returns {Promise<Response>} */
export async function ask(hub, url, model, revision, headers = {}) {
  const quiet = new AbortController();
  // The beginning of an answer is waited for, not its end.
  const timer = setTimeout(() => quiet.abort(silence()), hub.patience);
  const signal = hub.signal ? AbortSignal.any([hub.signal, quiet.signal]) : quiet.signal;
  let answer;
  try {
    answer = await fetch(url, { headers, signal, credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" });
  } catch (error) {
    throw unreachable(hub, model, error);
  } finally {
    clearTimeout(timer);
  }
  if (answer.ok || answer.status === 416) return answer;
  throw refused(answer, model, revision, hub.word ?? "model");
}

/** The body piece by piece. @param {Hub} hub @param {Response} answer */
export async function* pieces(hub, answer, model) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), hub, model);
      if (done) return;
      yield value;
    }
  } finally {
    // The connection is not kept for what nobody reads.
    reader.cancel().catch(() => {});
  }
}

const silence = () => new DOMException("silent", "TimeoutError");

async function within(step, hub, model) {
  let timer;
  const quiet = new Promise((_, fail) => {
    timer = setTimeout(() => fail(silence()), hub.patience);
  });
  try {
    return await Promise.race([step, quiet]);
  } catch (error) {
    throw unreachable(hub, model, error, true);
  } finally {
    clearTimeout(timer);
  }
}

function unreachable(hub, model, error, isUnderWay = false) {
  if (error.name === "AbortError") return error;
  const host = new URL(hub.address).host;
  const again = hub.again ?? "What came is kept, and a second try goes on from there.";
  if (error.name === "TimeoutError") return new HubError(`${host} said nothing for ${hub.patience / 1000} seconds. ${again}`);
  if (isUnderWay) return Object.assign(new HubError(`${model}: the transfer broke off. ${again}`), { isBroken: true });
  if (!navigator.onLine) return new HubError(`There is no network, so ${host} cannot be asked about ${model}. What is kept here opens without one.`);
  return new HubError(
    `${host} cannot be reached. The network, an extension or the rules of this site may be in the way; files that you download yourself can be dropped here.`,
  );
}

function refused(answer, model, revision, word) {
  const drop = "Fetch it yourself (hf download) and drop its files here: this page takes no token.";
  const code = answer.headers.get("x-error-code");
  const wait = answer.headers.get("retry-after");
  switch (answer.status) {
    case 401:
      return new HubError(`${model}: the hub wants to know who asks (401): it is private, has conditions, or does not exist. Check the name. ${drop}`);
    case 403:
      return new HubError(`${model}: the hub does not give it to everybody (403); its conditions have to be accepted first. ${drop}`);
    case 404:
      return new HubError(
        code === "RevisionNotFound"
          ? `${model} has no branch, tag or commit ${revision} (404).`
          : `The hub has no ${word} ${model}, or not this part of it (404). Check the name.`,
      );
    case 429:
      return new HubError(
        `${model}: too many requests (429). ${wait ? `The hub asks to wait ${/^\d+$/.test(wait) ? `${wait} seconds` : `until ${wait}`} before the next.` : "Wait some minutes and try again."}`,
      );
    default:
      return new HubError(
        answer.status >= 500
          ? `${model}: the hub is in trouble itself (${answer.status}). Try again later.`
          : `${model}: the hub answered ${answer.status}; expected the ${word}.`,
      );
  }
}
