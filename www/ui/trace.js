// Which tokens of the prompt stayed, went, or were folded into which: a picture, a band a layer and a bar a token, and
// the same as a table.

import { score } from "../format.js";
import { byId, el, part, scroller, table } from "./dom.js";

/** The fate in a sign, and in words for who cannot see it or hovers over it. */
const signs = {
  kept: () => ["●", "kept"],
  pruned: () => ["✕", "pruned"],
  merged: (f) => [`⤷ ${f.into}`, `folded into ${f.into}${f.hidden ? "" : ", in the stream only"}${f.residual ? "" : ", in the layer only"}`],
  gone: () => ["", "gone before"],
};

const has = (f) => typeof f.score === "number";
const inWords = (f) => signs[f.fate](f)[1] + (has(f) ? `, score ${score(f.score)}` : "");

export function trace() {
  const body = el("div");
  const section = el("section", { "aria-labelledby": "trace-title", hidden: true },
    el("h2", { id: "trace-title" }, "Tokens of the prompt ", el("span", { class: "tag" }, "layer by layer")), body);
  byId("cost").closest("section").after(section);
  // Folded or not is the person's choice and outlives a redraw.
  let open = false;
  const draw = part(body, (found) => {
    section.hidden = !found;
    if (!found) return [];
    const caption = `● kept, ✕ pruned, ⤷ n folded into position n.${found.left_out ? ` The first ${found.left_out} tokens are left out.` : ""}`;
    const columns = ["Position", "Token", ...found.layers.map((layer) => `After layer ${layer}`)];
    const details = el("details", { open },
      el("summary", {}, `Per token (${found.tokens.length})`),
      table("Fate of each token of the prompt", caption, columns, found.tokens.map(line), { class: "small" }));
    details.addEventListener("toggle", () => { open = details.open; });
    return [picture(found), legend(found), details];
  });
  return (view) => draw(view?.run?.trace ?? undefined);
}

function picture(found) {
  const fates = el("div", { class: "fates" }, ...found.layers.map((layer, at) => band(layer, found.tokens, at)),
    el("div", { class: "band below", "aria-hidden": "true" },
      ...found.tokens.map((token) => el("span", {}, token.text.replaceAll("\n", "⏎")))));
  fates.style.setProperty("--tokens", found.tokens.length);
  return scroller("Fate and score of each token, layer by layer", fates);
}

/** One layer: the lowest of its scores is a stub, the highest fills the band; without scores all bars are as high. */
function band(layer, tokens, at) {
  const scores = tokens.map((token) => token.fates[at]).filter(has).map((f) => f.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const share = (f) => (has(f) && high > low ? (f.score - low) / (high - low) : 0.5);
  const bar = (token) => {
    const f = token.fates[at];
    const node = el("span", { class: f.fate, title: `${token.position} ${JSON.stringify(token.text)}: ${inWords(f)}` });
    node.style.blockSize = `${12 + 88 * share(f)}%`;
    return node;
  };
  const counted = (fate) => tokens.filter((token) => token.fates[at].fate === fate).length;
  const said = `After layer ${layer}: ${counted("kept")} kept, ${counted("pruned")} pruned, ${counted("merged")} folded`;
  return el("div", {}, el("h3", { "aria-hidden": "true" }, said),
    el("div", { class: "band", role: "img", "aria-label": said }, ...tokens.map(bar)));
}

function legend(found) {
  const isScored = found.tokens.some((token) => token.fates.some(has));
  const height = isScored ? "its height is the method's score, from the lowest to the highest in this layer" : "this method scores nothing, so all are as high";
  const sample = (fate, words) => [el("span", { class: `sample ${fate}`, "aria-hidden": "true" }), words];
  return el("p", { class: "note" }, `A bar is a token; ${height}. `, ...sample("kept", " kept "), ...sample("merged", " folded into another "),
    ...sample("pruned", " pruned"), found.left_out ? `. The first ${found.left_out} tokens are left out, of the counts too.` : "");
}

function line(token) {
  const fate = (f) => {
    const [sign] = signs[f.fate](f);
    const words = inWords(f);
    const said = el("span", { class: "unseen" }, words);
    return el("td", { role: "cell", title: words }, el("span", { "aria-hidden": "true" }, sign), said);
  };
  // Spaces and line ends are tokens too.
  const word = el("td", { role: "cell" }, el("code", {}, JSON.stringify(token.text)));
  return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, String(token.position)), word, ...token.fates.map(fate));
}
