// Whittle's GEMM beside onnxruntime-web's in headless Chromium: one JSON line a measurement.
//
// node bench/gemm.mjs [cpu] [gpu]
// Before: cargo build --release -p whittle-bench --target wasm32-unknown-unknown, then wasm-bindgen --target web
//   --out-dir bench/pkg target/wasm32-unknown-unknown/release/whittle_bench.wasm.
// NODE_MODULES names the folder with onnxruntime-web and playwright-core (default: ./node_modules), CHROMIUM the browser.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { loadavg } from "node:os";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const modules = resolve(process.env.NODE_MODULES ?? "node_modules");
const { chromium } = createRequire(join(modules, "index.js"))("playwright-core");
const types = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  const file = path.startsWith("/ort/")
    ? join(modules, "onnxruntime-web/dist", path.slice(5))
    : join(here, path);
  try {
    const body = await readFile(file);
    response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const address = `http://127.0.0.1:${server.address().port}/gemm.html`;

const wanted = process.argv.slice(2);
const shapes = {
  cpu: [{ rows: 256, outs: 768, depth: 768, runs: 15 }, { rows: 1, outs: 768, depth: 768, runs: 15 }],
  gpu: [{ rows: 256, outs: 768, depth: 768, runs: 5 }, { rows: 1, outs: 768, depth: 768, runs: 5 }],
};
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
});
try {
  for (const backend of wanted.length ? wanted : ["cpu", "gpu"]) {
    for (const shape of shapes[backend]) {
      // A fresh page each: what one measurement leaves in memory does not meet the next.
      const page = await browser.newPage();
      page.on("pageerror", (e) => console.error(`page: ${e}`));
      await page.goto(address);
      await page.waitForFunction(() => document.title === "ready");
      const result = await page.evaluate((options) => window.measure(options), { backend, ...shape });
      console.log(JSON.stringify({ ...result, browser: browser.version(), load: loadavg()[0] }));
      await page.close();
    }
  }
} finally {
  await browser.close();
  server.close();
}
