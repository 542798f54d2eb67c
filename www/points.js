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
