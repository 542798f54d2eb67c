// The two texts side by side, with the place where they part.

import { timing } from "../format.js";
import { compressions } from "./about.js";
import { byId, el, part, text } from "./dom.js";
import { mark } from "./lasting.js";

/** @returns {import("../state.js").Panel} */
export function output() {
  const baseline = side("Baseline");
  const compressed = side("Compressed");
  byId("sides").replaceChildren(baseline.node, compressed.node);

  return (view, catalog) => {
    const run = view?.run;
    baseline.draw(run, "baseline", "as it was trained");
    compressed.draw(run, "compressed", view ? treatment(view, catalog) : "");
    text(byId("parted"), run?.baseline && run.compressed ? parted(run) : "");
  };
}

function side(title) {
  const how = el("small");
  const words = el("p", { class: "words", tabindex: "0", "aria-label": `${title} text` });
  const speed = el("span", { class: "speed" });
  const node = el("div", { class: "side" }, el("div", { class: "row" }, el("h3", {}, title, " ", how), speed), words);
  const drawWords = part(words, (side) => (side ? spans(side) : [el("span", { class: "empty" }, "Nothing generated yet.")]));
  return {
    node,
    draw(run, name, treatment) {
      text(how, treatment);
      drawWords(run?.[name]);
      text(speed, run?.[name] ? pace(run[name], run.speed?.[name]) : "");
      mark(node, run?.was?.includes(name) ?? false);
    },
  };
}

function pace(side, measured) {
  const tokens = `${side.tokens} token${side.tokens === 1 ? "" : "s"}`;
  return measured ? `${tokens} · ${timing(measured.decode_tokens_per_s.value)} tokens/s, measured` : tokens;
}

/** Up to the difference, the rest of the word where it lies (marked), and what follows. */
function spans(side) {
  const characters = Array.from(side.text);
  const at = Math.min(side.differs_at ?? characters.length, characters.length);
  const rest = characters.slice(at).join("");
  const word = /^\s*\S*/u.exec(rest)?.[0] ?? "";
  return [
    characters.slice(0, at).join(""),
    word ? el("mark", { title: "First difference" }, word) : undefined,
    rest.slice(word.length),
    side.done ? undefined : el("span", { class: "caret", "aria-hidden": "true" }),
  ].filter((node) => node !== undefined);
}

function parted({ baseline, compressed }) {
  const at = compressed.differs_at ?? baseline.differs_at;
  if (at === 0) return "The texts part at the first character; the first difference is marked.";
  if (at != null) return `The texts part after ${at} character${at === 1 ? "" : "s"}; the first difference is marked.`;
  if (baseline.done && compressed.done) return "The texts agree to the end.";
  return compressed.tokens > 0 ? "The texts agree so far." : "";
}

/** "UTRC and Wanda", in the words of the catalog. */
function treatment(view, catalog) {
  return compressions(view, catalog).map((method) => method.label).join(" and ") || "nothing chosen, the same as the baseline";
}
