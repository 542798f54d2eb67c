// A hub on this machine: lists one model, sends on to another host for its weights, and fails as it is told to.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

export const MODEL = "some/model-1";
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const ALLOWED = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "range",
  "access-control-expose-headers": "content-range, x-error-code, retry-after",
};

/**
 * `instead(request, response, hub)` takes a request over by returning true; `files` name -> bytes; `requests` are what was
 * asked: { path, range, host }.
 * @param {{ folder?: string, files?: Map<string, Buffer> }} [what]
 */
export async function startHub({ folder = fileURLToPath(new URL("../../models/recall-llama/", import.meta.url)), files } = {}) {
  if (!files) {
    files = new Map([
      ["README.md", Buffer.from("not needed")],
      ["pytorch_model.bin", Buffer.from("not needed")],
    ]);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) files.set(name, await readFile(`${folder}/${name}`));
  }
  const hub = { files, requests: [], listing: undefined, instead: undefined };
  hub.listing = { sha: COMMIT, tags: ["license:apache-2.0"], siblings: [...files].map(([rfilename, bytes]) => about(rfilename, bytes)) };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://hub").pathname);
    if (request.method === "OPTIONS") return response.writeHead(204, ALLOWED).end();
    hub.requests.push({ path, range: request.headers.range, host: request.headers.host });
    if (!hub.instead?.(path, request, response)) usual(hub, path, request, response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  return Object.assign(hub, {
    hosts: [`http://127.0.0.1:${port}`, `http://localhost:${port}`],
    allowed: ALLOWED,
    ofWeights: () => hub.requests.filter(({ path }) => path.startsWith("/cdn/")),
    answer: (response, status, headers = {}, body = "") => response.writeHead(status, { ...ALLOWED, ...headers }).end(body),
    closeAll: () => server.closeAllConnections(),
    close: () =>
      new Promise((closed) => {
        server.close(closed);
        server.closeAllConnections();
      }),
  });
}

function about(rfilename, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex");
  const lfs = rfilename.endsWith(".safetensors") ? { lfs: { sha256: hash, size: bytes.length, pointerSize: 134 } } : {};
  return { rfilename, size: bytes.length, blobId: hash.slice(0, 40), ...lfs };
}

/** What the hub does when nothing is wrong. */
function usual(hub, path, request, response) {
  if (path.startsWith(`/api/models/${MODEL}/revision/`)) return hub.answer(response, 200, { "content-type": "application/json" }, JSON.stringify(hub.listing));
  const resolve = `/${MODEL}/resolve/${COMMIT}/`;
  const name = path.startsWith(resolve) ? path.slice(resolve.length) : path.replace("/cdn/", "");
  if (path.startsWith(resolve) && name.endsWith(".safetensors")) return hub.answer(response, 302, { location: `${hub.hosts[1]}/cdn/${name}` });
  const bytes = hub.files.get(name);
  if (!bytes) return hub.answer(response, 404, { "x-error-code": "EntryNotFound" });
  const from = first(request);
  if (request.headers.range === undefined) return hub.answer(response, 200, { "content-length": bytes.length }, bytes);
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  return hub.answer(response, 206, { "content-range": range, "content-length": bytes.length - from }, bytes.subarray(from));
}

/** First byte that is asked for. */
export const first = (request) => Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
