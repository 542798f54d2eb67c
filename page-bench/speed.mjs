// A model of one's own in the page under a method, beside its own dense form: prefill of 512 tokens and decoding.
//
// usage: node page-bench/speed.mjs FOLDER METHODS [TURNS]     (config.json, tokenizer.json, model.safetensors; dist/ is built;
//        METHODS as in a link, for example "tr=off&sp=magnitude:pattern=2:4" or "tr=utrc:cut=0.2&sp=off")
//
// Every turn is a fresh browser, in which the page times both sides in turns; shown is what each turn's rounds say. A token
// reduction promises as many times the speed as the FLOPs that it leaves, its own included, are fewer.
import { join } from "node:path";
import { speeds } from "./dropped.mjs";
import { modelFiles } from "./folder.mjs";

const [folder, methods, turns = "3"] = process.argv.slice(2);
if (!folder || !methods) throw new Error("usage: node page-bench/speed.mjs FOLDER METHODS [TURNS]");
const files = (await modelFiles(folder)).map((name) => join(folder, name));
const shown = ({ value, low, high }, digits) => `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
const side = (told) => `${shown(told.prefill_tokens_per_s, 0)} and ${shown(told.decode_tokens_per_s, 1)} tokens/s`;

for (let turn = 0; turn < Number(turns); turn++) {
  const told = await speeds(files, methods);
  const promise = 1 / (1 - told.cost.flops_saved_total);
  console.log(`turn ${turn + 1}: reads and decodes ${shown(told.prefill_ratio, 2)} and ${shown(told.decode_ratio, 2)} times as fast as dense`);
  if (!methods.includes("tr=off")) console.log(`  promised for reading: ${promise.toFixed(2)}; ${(told.prefill_ratio.value / promise).toFixed(2)} of it`);
  console.log(`  ${methods}: ${side(told.compressed)}`);
  console.log(`  dense: ${side(told.baseline)}; the tab took ${(told.memory / 1e6).toFixed(0)} MB at its peak`);
}
