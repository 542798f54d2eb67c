// A folder with somebody's own model.
import { readdir } from "node:fs/promises";

const FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"];

/** Names of the files in it that the page is given. */
export async function modelFiles(folder) {
  const there = await readdir(folder);
  return FILES.filter((name) => there.includes(name));
}
