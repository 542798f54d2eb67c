// The two texts side by side, with the place where they part.

import { probability, timing } from "../format.js";
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
    text(
      byId("parted"),
      run?.baseline && run.compressed
        ? [parted(run), ...(run.words && !run.was?.includes("words") ? [atParting(run.words), HOW] : [])].filter(Boolean).join(" ")
        : "",
    );
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
      // Words of a held run belong to its own text only.
      const tokens = run?.words && !run.was?.includes("words") ? run.words[name] : undefined;
      drawWords(run?.[name] && { ...run[name], name, tokens: tokens?.map((t) => t.text).join("") === run[name].text ? tokens : undefined });
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
  const before = characters.slice(0, at).join("");
  const rest = characters.slice(at).join("");
  const word = /^\s*\S*/u.exec(rest)?.[0] ?? "";
  const piece = pieces(side);
  return [
    ...piece(before),
    word ? el("mark", { title: "First difference" }, ...piece(word)) : undefined,
    ...piece(rest.slice(word.length)),
    side.done ? undefined : el("span", { class: "caret", "aria-hidden": "true" }),
  ].filter((node) => node !== undefined);
}

/** Cuts the text, piece by piece from its start, at the ends of its tokens: each is underlined by how sure the model was of it. */
function pieces({ tokens, name }) {
  if (!tokens) return (text) => [text];
  let [number, used] = [0, 0];
  return (text) => {
    const nodes = [];
    for (let left = text; left; ) {
      const token = tokens[number];
      const now = left.slice(0, token.text.length - used);
      const sure = Math.exp(-(token[name] ?? Infinity));
      const node = el(
        "span",
        { class: "token", title: `${JSON.stringify(token.text)}: baseline ${probability(token.baseline)}, compressed ${probability(token.compressed)}` },
        now,
      );
      node.style.setProperty("--sure", `${Math.round(100 * sure)}%`);
      nodes.push(node);
      used += now.length;
      if (used >= token.text.length) [number, used] = [number + 1, 0];
      left = left.slice(now.length);
    }
    return nodes;
  };
}

const HOW = "The stronger a token is underlined, the surer its model was of it.";

/** How sure both were of the first token that differs. @param {import("../protocol.js").WordsView | null | undefined} words */
function atParting(words) {
  if (!words) return "";
  const at = words.baseline.findIndex((token, i) => words.compressed[i] && token.text !== words.compressed[i].text);
  if (at < 0) return "";
  const [a, b] = [words.baseline[at], words.compressed[at]];
  return (
    `There the baseline took ${JSON.stringify(a.text)} (${probability(a.baseline)}; the compressed model gave it ${probability(a.compressed)}), ` +
    `the compressed model ${JSON.stringify(b.text)} (${probability(b.compressed)}; the baseline gave it ${probability(b.baseline)}).`
  );
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
  return (
    compressions(view, catalog)
      .map((method) => method.label)
      .join(" and ") || "nothing chosen, the same as the baseline"
  );
}
