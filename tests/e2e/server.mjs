// Serves a built page as a plain static host would: under a sub-path, with the right types, a strict
// content security policy and nothing clever. What is asked for and missing is remembered, and so is
// every violation of the policy that the browser reports: those inside a worker reach no console.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const dist = fileURLToPath(new URL("../../dist", import.meta.url));

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".jsonl": "application/octet-stream",
  ".webmanifest": "application/manifest+json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".txt": "text/plain; charset=utf-8",
  ".md": "text/plain; charset=utf-8",
  ".safetensors": "application/octet-stream",
  ".bin": "application/octet-stream",
};

const REPORTS = "/policy-reports";
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "manifest-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  `report-uri ${REPORTS}`,
].join("; ");

/** The page as somebody serves it who has a hub of their own at these addresses: the first is asked, the others it sends on to;
 *  and with a script before all of its own. */
function altered(page, hosts, first) {
  const watched = first ? page.replace("<head>", `<head><script src="${FIRST}"></script>`) : page;
  if (hosts.length === 0) return watched;
  return watched
    .replace(/(connect-src 'self')[^;]*/, `$1 ${hosts.join(" ")}`)
    .replace(/<meta name="hub" content="[^"]*">/, `<meta name="hub" content="${hosts[0]}" data-patience="${PATIENCE_MS}">`);
}

/** How long a hub of the tests may say nothing. */
const PATIENCE_MS = 20_000;

/** The script that stands first, as the page asks for it. */
const FIRST = "first.js";

/** Starts on a free port, with the hub at `hosts` if there are any, and a script that the page runs `first`; `url` is the page, `requests` and `missing` list paths, `violations`
 *  what the policy blocked, `close` ends it. */
export async function serve(folder = dist, base = "/whittle/", { hosts = [], first = "" } = {}) {
  const requests = [];
  const missing = [];
  const violations = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    if (path === REPORTS) {
      const report = JSON.parse(await text(request))["csp-report"];
      violations.push(`${report["effective-directive"]} blocked ${report["blocked-uri"]}`);
      response.writeHead(204).end();
      return;
    }
    requests.push(path);
    if (first && path === base + FIRST) {
      response.writeHead(200, { "content-type": TYPES[".js"] }).end(first);
      return;
    }
    const file = await found(folder, base, path);
    if (!file) {
      missing.push(path);
      response.writeHead(404, { "content-type": "text/plain" }).end(`no ${path}`);
      return;
    }
    const isAltered = (hosts.length > 0 || first) && extname(file.name) === ".html";
    const page = isAltered ? Buffer.from(altered(await readFile(file.name, "utf8"), hosts, first)) : undefined;
    response.writeHead(200, {
      "content-type": TYPES[extname(file.name)],
      "content-length": page?.length ?? file.size,
      "content-security-policy": POLICY.replace("connect-src 'self'", `connect-src 'self' ${hosts.join(" ")}`),
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    });
    if (request.method === "HEAD" || page) response.end(page);
    else createReadStream(file.name).pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}${base}`,
    requests,
    missing,
    violations,
    close: () =>
      new Promise((closed) => {
        server.close(closed);
        server.closeAllConnections();
      }),
  };
}

// A file inside the folder whose type we know; anything else counts as missing.
async function found(folder, base, path) {
  if (!path.startsWith(base)) return undefined;
  const name = normalize(join(folder, path.slice(base.length) || "index.html"));
  if (!name.startsWith(folder + sep) || !(extname(name) in TYPES)) return undefined;
  const about = await stat(name).catch(() => undefined);
  return about?.isFile() ? { name, size: about.size } : undefined;
}
