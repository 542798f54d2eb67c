// Runs as files: CSV for a spreadsheet, Markdown for an issue, JSON to open here again. And back from JSON.

import { isPoint } from "../points.js";

/** @import { Kept } from "../store.js" */

/** What an opened file may hold at most. */
const MOST_RUNS = 2000;
const MOST_TEXT = 20_000;
const FORMAT = "whittle-runs";

const COLUMNS = [
  "name",
  "date",
  "model",
  "evaluation",
  "reduce",
  "prune",
  "seed",
  "items",
  "metric",
  "baseline",
  "baseline_low",
  "baseline_high",
  "compressed",
  "compressed_low",
  "compressed_high",
  "change",
  "change_low",
  "change_high",
  "flops_share",
  "bytes_per_token",
  "bytes_per_token_dense",
  "prefill_ratio",
  "decode_ratio",
  "backend",
  "link",
];

const of = (e) => [e?.value, e?.low, e?.high];

/** @param {Kept[]} runs One row a metric of a run. */
function rows(runs) {
  return runs.flatMap(({ name, at, point: p }) =>
    p.quality.map((q) => [
      name,
      at,
      p.model,
      p.evaluation,
      p.reduce,
      p.prune,
      p.seed,
      q.items ?? p.items,
      q.metric,
      ...of(q.baseline),
      ...of(q.compressed),
      ...of(q.change),
      p.cost?.flops_share,
      p.cost?.bytes_per_token,
      p.cost?.bytes_per_token_dense,
      p.speed?.prefill_ratio?.value,
      p.speed?.decode_ratio?.value,
      p.backend,
      p.fragment,
    ]),
  );
}

/** A cell: quoted where it must be; words that a spreadsheet would take for a formula begin with an apostrophe. */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csvLine = (cells) => cells.map(csvCell).join(",");

/** @param {Kept[]} runs */
export const toCsv = (runs) => [COLUMNS, ...rows(runs)].map(csvLine).join("\r\n") + "\r\n";

/** @param {Kept[]} runs */
/** Without the scores of single items, which have an export of their own. */
export const toJson = (runs) => `${JSON.stringify({ format: FORMAT, version: 1, runs: runs.map(({ scores, ...run }) => run) }, null, 1)}\n`;

const mdCell = (value) => `${value ?? ""}`.replaceAll("|", "\\|").replace(/\s+/g, " ");
const four = (x) => (Number.isFinite(x) ? x.toFixed(4) : "");
const range = (e) => (Number.isFinite(e?.low) ? `${four(e.low)} to ${four(e.high)}` : "");

/** The columns that evaluation tables of language models usually have. @param {Kept[]} runs */
export function toMarkdown(runs) {
  const head = ["Model", "Setting", "Task", "n", "Metric", "", "Value", "95 % interval", "Change", "95 % interval"];
  const lines = runs.flatMap(({ point: p }) =>
    p.quality.map((q) => [
      p.model,
      `${p.reduce} / ${p.prune}`,
      p.evaluation,
      q.items ?? p.items,
      q.label,
      q.higher_is_better ? "↑" : "↓",
      four(q.compressed?.value),
      range(q.compressed),
      four(q.change?.value),
      range(q.change),
    ]),
  );
  const line = (cells) => `| ${cells.map(mdCell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...lines.map(line)].join("\n") + "\n";
}

/**
 * The runs of a file: one that this page wrote, a list of points, or one point a line. What is no run is left out.
 * @param {string} text
 * @returns {Kept[]}
 */
export function fromJson(text) {
  return candidates(text)
    .slice(0, MOST_RUNS)
    .flatMap((found) => {
      const point = found?.point ?? found;
      if (!isPoint(point) || !/^#v=\d/.test(point.fragment ?? "") || !point.quality.every(isQuality)) return [];
      const words = (x) => (typeof x === "string" ? x.slice(0, MOST_TEXT) : "");
      const texts = found.texts ? { baseline: words(found.texts.baseline), compressed: words(found.texts.compressed) } : null;
      return [{ id: point.key, name: words(found.name).slice(0, 200), at: words(found.at) || words(point.created), point, texts }];
    });
}

const isQuality = (q) =>
  typeof q?.metric === "string" && typeof q.label === "string" && ["baseline", "compressed", "change"].every((side) => typeof q[side] === "object" && q[side]);

function candidates(text) {
  const whole = parsed(text);
  if (Array.isArray(whole)) return whole;
  if (whole) return Array.isArray(whole.runs) ? whole.runs : [whole];
  return text
    .split("\n")
    .filter((line) => line.trim())
    .map(parsed)
    .filter(Boolean);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
