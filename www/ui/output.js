// The two texts side by side, with the place where they part.

import { timing } from "../format.js";
import { compressions } from "./about.js";
import { byId, el, part, text } from "./dom.js";

/** Of a long prompt only its end leads into the text. */
const LEAD = 90;

export function output() {
  const baseline = side("Baseline");
  const compressed = side("Compressed");
  byId("sides").replaceChildren(baseline.node, compressed.node);

  return (view, catalog) => {
    const run = view?.run;
    const prompt = view?.settings.prompt ?? "";
    baseline.draw(run?.baseline, prompt, "the model as it was trained", run?.speed?.baseline);
    compressed.draw(run?.compressed, prompt, view ? treatment(view, catalog) : "", run?.speed?.compressed);
    text(byId("parted"), run ? parted(run) : "");
  };
}

function side(title) {
  const how = el("small");
  const words = el("p", { class: "words" });
  const speed = el("p", { class: "speed" });
  const node = el("div", { class: "side" }, el("h3", {}, title, " ", how), words, speed);
  const drawWords = part(words, ({ lead, side }) => (side ? spans(lead, side) : [el("span", { class: "empty" }, "Nothing generated yet.")]));
  return {
    node,
    draw(side, prompt, treatment, measured) {
      text(how, treatment);
      drawWords({ lead: tail(prompt), side });
      text(speed, side ? pace(side, measured) : "");
    },
  };
}

function pace(side, measured) {
  const tokens = `${side.tokens} token${side.tokens === 1 ? "" : "s"}`;
  return measured ? `${tokens} · ${timing(measured.decode_tokens_per_s.value)} tokens/s, measured` : tokens;
}

function tail(prompt) {
  const characters = Array.from(prompt);
  return characters.length > LEAD ? `…${characters.slice(-LEAD).join("")}` : prompt;
}

/** Up to the difference, the rest of the word where it lies (marked), and what follows. */
function spans(lead, side) {
  const characters = Array.from(side.text);
  const at = Math.min(side.differs_at ?? characters.length, characters.length);
  const rest = characters.slice(at).join("");
  const word = /^\s*\S*/u.exec(rest)[0];
  return [
    el("span", { class: "lead" }, lead),
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
  return compressions(view, catalog).map((method) => method.label).join(" and ") || "nothing chosen: the same as the baseline";
}
