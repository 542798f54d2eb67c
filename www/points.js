// The measured settings that the page knows: of this visit, kept from earlier ones, and the reference that lies beside the
// page. The newest of equal settings stands for the others.

import { json, jsonLines } from "./data.js";

/** Which of two points of the same setting is shown. */
const RANK = { reference: 0, kept: 1, live: 2 };

/** `changed` is called when there is something new to draw. */
export function points(changed) {
  const all = new Map();
  const asked = new Set();
  let listed;

  const put = (point, source) => {
    const key = settingOf(point);
    const there = all.get(key);
    if (there && RANK[there.source] > RANK[source]) return;
    all.set(key, { point, source });
  };

  async function reference(model) {
    listed ??= json("reference/index.json");
    if (!(await listed)?.models?.includes(model)) return;
    const found = (await jsonLines(`reference/${model}.jsonl`)).filter(isPoint);
    for (const point of found) put(point, "reference");
    if (found.length) changed();
  }

  return {
    /** A point that the engine measured or that the person kept. */
    add(point, source = "live") {
      put(point, source);
      changed();
    },
    remove(key) {
      for (const [setting, { point }] of all) if (point.key === key) all.delete(setting);
      changed();
    },
    /** The points of a model and an evaluation. The reference of the model is loaded when it is first asked for. */
    of(model, evaluation) {
      const task = taskOf(evaluation);
      if (!asked.has(model)) {
        asked.add(model);
        reference(model);
      }
      return [...all.values()].filter(({ point }) => idOf(point.model) === model && taskOf(point.evaluation) === task);
    },
  };
}

/** Settings are equal where model, task and both methods are; how many items were scored is no setting. */
const settingOf = ({ model, evaluation, reduce, prune, seed }) => [model, taskOf(evaluation), reduce, prune, seed].join(" ");

export const idOf = (model) => `${model}`.split("@")[0];
/** Knobs of an evaluation that say how much is measured, not what. */
const EXTENT = ["n", "windows", "controls", "published"];

/** What an evaluation SPEC measures: two levels of a task do not belong into one chart, more items of it do. */
export function taskOf(spec) {
  const [id, knobs = ""] = `${spec}`.split(":");
  const kept = knobs.split(",").filter((pair) => pair && !EXTENT.includes(pair.split("=")[0]));
  return kept.length ? `${id}:${kept.join(",")}` : id;
}

export const specId = (spec) => `${spec}`.split(":")[0];

export function isPoint(found) {
  return typeof found?.key === "string" && typeof found.model === "string" && typeof found.evaluation === "string" && Array.isArray(found.quality);
}

/** A key's value in a link, as it was written. */
export const inLink = (fragment, key) => decodeURIComponent(new RegExp(`[#&]${key}=([^&]*)`).exec(fragment ?? "")?.[1] ?? "off");

/** The two methods of a link in one string, to compare with a point's. */
export const methodsOf = (fragment) => `${inLink(fragment, "tr")} ${inLink(fragment, "sp")}`;

/** A finished run as a point, for an engine that sends none itself. Every figure is taken over as it is. */
export function ofRun({ settings, fragment, model, run }) {
  const link = run.link || fragment;
  const { cost, speed, quality } = run;
  return {
    key: link, fragment: link, model: inLink(link, "m"), evaluation: settings.eval, reduce: inLink(link, "tr"), prune: inLink(link, "sp"),
    seed: Number(settings.seed), items: quality[0].items, items_wanted: quality[0].items_total, complete: true, quality,
    cost: {
      flops_share: 1 - cost.flops_saved_total, bytes_per_token: cost.decode?.bytes ?? null,
      bytes_per_token_dense: cost.decode?.bytes_dense ?? null, file_bytes: model?.bytes ?? null,
    },
    speed: speed && { prefill_ratio: speed.prefill_ratio, decode_ratio: speed.decode_ratio },
    ms: null, backend: run.backend, created: new Date().toISOString(),
  };
}
