// "Why is this not faster?", answered with the figure that decides. The figures are the engine's; here are the sentences.

import { megabytes, percent, ratio, writtenInterval } from "../format.js";
import { el } from "./dom.js";

/** Below this share of what the dense model does, a saving is worth speaking of. */
const WORTH = 0.95;

/** @returns {Node[]} Paragraphs about prefill and decode; none where both became faster as they should. */
export function why({ speed, cost }) {
  const said = [prefill(speed.prefill_ratio, cost), decode(speed.decode_ratio, cost?.decode)].filter(Boolean);
  return said.length ? [el("h3", {}, "Why?"), ...said.map((words) => el("p", { class: "note" }, words))] : [];
}

function prefill(e, cost) {
  if (!cost || e.low > 1.02) return undefined;
  const left = 1 - cost.flops_saved_total;
  if (left > WORTH) {
    return cost.flops_saved_layers > 1 - WORTH
      ? `Prefill is not faster (${ratio(e.value)}): the layers save ${percent(cost.flops_saved_layers)} of their arithmetic, but the method's own takes most of it back; ${percent(left)} is left in all.`
      : `Prefill is not faster (${ratio(e.value)}): ${percent(left)} of the arithmetic is still done. Zeros among weights are multiplied like any number.`;
  }
  return `Prefill is measured at ${ratio(e.value)} (${writtenInterval(e, ratio)}) although only ${percent(left)} of the arithmetic is left: at this size fixed costs and choosing the tokens weigh as much as what is saved.`;
}

function decode(e, counted) {
  if (e.low > 1.02) return undefined;
  if (!counted) return `Decode is not faster (${ratio(e.value)}): one token at a time passes through every weight, and no weight was removed.`;
  const left = counted.bytes / counted.bytes_dense;
  const bytes = `${megabytes(counted.bytes)} of ${megabytes(counted.bytes_dense)} of weights are read for a token`;
  if (left > WORTH) return `Decode is not faster (${ratio(e.value)}): ${bytes}. Zeros that lie anywhere are read all the same.`;
  return `Decode is measured at ${ratio(e.value)} (${writtenInterval(e, ratio)}) although only ${bytes}: finding the weights between the zeros costs what reading fewer saves.`;
}
