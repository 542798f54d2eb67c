// Where along the text the compression hurts: each token shaded by how much more it costs the compressed model than the
// baseline, and the tokens that the reduction took away marked.

import { nats, probability } from "../format.js";
import { byId, cell, drawn, el, empty, row, scroller, table } from "./dom.js";
import { mark } from "./lasting.js";

/** @import { WordsView } from "../protocol.js" */
/** @typedef {{ text: string, written: boolean, went: number | null, baseline: number | null, compressed: number | null, change: number | null }} Token */

/** Nats more that shade a token fully: e^3, a probability twenty times smaller. */
const FULL = 3;
/** A change below this is nothing to look at. */
const WORTH = 0.1;

/** @returns {import("../state.js").Panel} */
export function along() {
  const state = { open: false };
  const draw = drawn(byId("along"), (/** @type {WordsView | null | undefined} */ words) => {
    if (!words) return [empty("What each token costs the two models appears here when both have been timed.")];
    const tokens = inOrder(words);
    return [
      el("p", { class: "note" }, look(tokens)),
      scroller("Loss along the text", el("p", { class: "strip" }, ...tokens.map(shaded))),
      el(
        "p",
        { class: "note" },
        "Shaded over a line: the token costs the compressed model more; over dots: less. Struck out: the reduction took it away. ",
        words.prompt.some(({ baseline }) => baseline !== null) ? "" : "The prompt is only read under a token reduction, so its tokens cost nothing. ",
        "After the bar stands what the baseline wrote.",
        words.left_out ? ` The first ${words.left_out} tokens of the prompt are left out.` : "",
      ),
      asTable(tokens, state),
    ];
  });
  return (view) => {
    mark(byId("along").closest("section"), view?.run?.was?.includes("words") ?? false);
    draw(view?.run?.words);
  };
}

/** @param {WordsView} words @returns {Token[]} */
function inOrder(words) {
  const token = (written) => (t) => {
    const { text, baseline, compressed } = t;
    const change = baseline === null || compressed === null ? null : compressed - baseline;
    return { text, written, went: t.went_after ?? null, baseline, compressed, change };
  };
  return [...words.prompt.map(token(false)), ...words.baseline.map(token(true))];
}

/** What to look at, in a sentence. @param {Token[]} tokens */
function look(tokens) {
  const judged = tokens.filter(({ change }) => change !== null);
  if (judged.length === 0) return "No token of this text can be judged.";
  const worst = judged.reduce((a, b) => (Number(b.change) > Number(a.change) ? b : a));
  if (Number(worst.change) < WORTH) return "Nowhere in this text does the compressed model lose more than a tenth of a nat.";
  const lost = tokens.find(({ went, text }) => went !== null && text.trim() !== "" && text.trim() === worst.text.trim());
  return (
    `Look at ${JSON.stringify(worst.text)}: it costs the compressed model ${nats(worst.change)} nats more (probability ${probability(worst.baseline)} before, ` +
    `${probability(worst.compressed)} now).${lost ? ` The same word stood in the prompt and was taken away after layer ${lost.went}.` : ""}`
  );
}

/** @param {Token} token @param {number} at @param {Token[]} all */
function shaded(token, at, all) {
  const node = el("span", { class: classes(token, all[at - 1]), title: said(token) }, token.text.replaceAll("\n", "⏎\n"));
  node.style.setProperty("--loss", String(Math.round(100 * Math.min(1, Math.abs(token.change ?? 0) / FULL))));
  return node;
}

function classes({ change, went, written }, before) {
  return [
    change !== null && change > WORTH ? "lost" : "",
    change !== null && change < -WORTH ? "gained" : "",
    went !== null ? "went" : "",
    written && before && !before.written ? "first" : "",
  ]
    .filter(Boolean)
    .join(" ");
}

/** @param {Token} token */
function said({ text, went, baseline, compressed, change }) {
  const cost = change === null ? "only read" : `probability ${probability(baseline)} before, ${probability(compressed)} now (${nats(change)} nats)`;
  return `${JSON.stringify(text)}: ${cost}${went === null ? "" : `, taken away after layer ${went}`}`;
}

/** @param {Token[]} tokens */
function asTable(tokens, state) {
  const line = (token) =>
    row(
      JSON.stringify(token.text),
      token.written ? "written by the baseline" : "prompt",
      cell(probability(token.baseline)),
      cell(probability(token.compressed)),
      cell(nats(token.change)),
      cell(token.went === null ? "stayed" : `after layer ${token.went}`),
    );
  const details = el("details", { open: state.open }, el("summary", {}, `Per token (${tokens.length})`));
  const fill = () => {
    if (details.open && details.childElementCount === 1)
      details.append(
        table(
          "Loss of each token",
          `Probability that each model gave the token, and what it costs more, in nats.`,
          ["Token", "Baseline", "Compressed", "Change", "In the reduction"],
          tokens.map(line),
          { class: "small" },
        ),
      );
  };
  fill();
  details.addEventListener("toggle", () => {
    state.open = details.open;
    fill();
  });
  return details;
}
