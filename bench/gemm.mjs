// Whittle's GEMM beside onnxruntime-web's in headless Chromium: one JSON line a measurement.
//
// node bench/gemm.mjs [cpu] [gpu]
// Before: cargo build --release -p whittle-bench --target wasm32-unknown-unknown, then wasm-bindgen --target web
//   --out-dir bench/pkg target/wasm32-unknown-unknown/release/whittle_bench.wasm.
// NODE_MODULES names the folder with onnxruntime-web and playwright-core (default: ./node_modules), CHROMIUM the browser.
import { createServer } from "node:http";
import { readFileSync, readdirSync } from "node:fs";
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

// CPU seconds of Chromium's processes under this one: what a call costs whatever else the machine does.
function cpuSeconds() {
  const parents = new Map();
  const used = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
      parents.set(pid, fields[1]);
      used.set(pid, (Number(fields[11]) + Number(fields[12])) / 100);
    } catch {
      // The process has ended.
    }
  }
  const ours = (pid) => pid === String(process.pid) || (parents.has(pid) && ours(parents.get(pid)));
  return [...used].reduce((sum, [pid, s]) => (pid !== String(process.pid) && ours(pid) ? sum + s : sum), 0);
}

async function cpuMs(page, which, times) {
  const before = cpuSeconds();
  await page.evaluate(([which, times]) => window.repeat(which, times), [which, times]);
  return ((cpuSeconds() - before) * 1000) / times;
}

const wanted = process.argv.slice(2);
const shapes = {
  cpu: [{ rows: 256, outs: 768, depth: 768, runs: 15, cpu_samples: 20 }, { rows: 1, outs: 768, depth: 768, runs: 15, cpu_samples: 20 }],
  gpu: [{ rows: 256, outs: 768, depth: 768, runs: 5, cpu_samples: 5 }, { rows: 1, outs: 768, depth: 768, runs: 5, cpu_samples: 5 }],
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
      const prepared = await page.evaluate((options) => window.prepare(options), { backend, ...shape });
      const result = await page.evaluate((options) => window.measure(options), shape);
      const times = Math.ceil(result.repeats * shape.cpu_samples);
      const [ours, theirs] = [await cpuMs(page, 0, times), await cpuMs(page, 1, times)];
      console.log(JSON.stringify({
        bench: "gemm", backend, ...prepared, ...result,
        whittle_cpu_ms: ours, onnxruntime_cpu_ms: theirs, ratio_cpu: theirs / ours,
        browser: browser.version(), load: loadavg()[0],
      }));
      await page.close();
    }
  }
} finally {
  await browser.close();
  server.close();
}
