// Which tokens of the prompt stayed, went, or were folded into which: the prompt itself after a layer that a slider
// chooses, and all layers at once as a picture and as a table.

import { score } from "../format.js";
import { byId, el, empty, part, row, scroller, table, text } from "./dom.js";
import { mark } from "./lasting.js";

/** The fate in a sign, and in words for who cannot see it or hovers over it. */
const signs = {
  kept: () => ["●", "kept"],
  pruned: () => ["✕", "pruned"],
  merged: (f) => [`⤷ ${f.into}`, `folded into ${f.into}${f.hidden ? "" : ", in the stream only"}${f.residual ? "" : ", in the layer only"}`],
  gone: () => ["", "gone before"],
};

const has = (f) => typeof f.score === "number";
const inWords = (f) => signs[f.fate](f)[1] + (has(f) ? `, score ${score(f.score)}` : "");
const seen = (token) => token.text.replaceAll("\n", "⏎");

/** @returns {import("../state.js").Panel} */
export function trace() {
  const root = byId("fates");
  // The layer and what is folded are the person's choice and outlive a redraw.
  const state = { at: 0, open: false };
  const draw = part(root, (found) => {
    if (!found) return [empty("Which words the compressed model reads, layer by layer, once a run has a token reduction.")];
    if (found === "off") return [empty("No token of this prompt is removed: no reduction is chosen, or the prompt is too short for it.")];
    state.at = Math.min(state.at, found.layers.length - 1);
    return [...byLayer(found, state), ...allLayers(found, state)];
  });
  const pair = root.closest(".pair");
  // The opening removes no token; of a link nobody knows yet.
  pair.classList.toggle("alone", location.hash === "");
  return (view) => {
    const run = view?.run;
    // Where no token goes the chart has the place.
    if (view) pair.classList.toggle("alone", view.settings.reduce === "off");
    mark(root.closest("section"), run?.was?.includes("trace") ?? false);
    draw(run?.trace ?? (run?.finished ? "off" : undefined));
  };
}

/** The prompt as the chosen layer leaves it. */
function byLayer(found, state) {
  const said = el("output", { id: "fate-said", for: "fate-layer" });
  const detail = el("p", { class: "note detail", "aria-hidden": "true" });
  const slider = el("input", { type: "range", id: "fate-layer", min: 0, max: found.layers.length - 1, step: 1, "aria-describedby": said.id });
  slider.value = state.at;
  const cells = found.tokens.map((token) => el("span", { role: "gridcell", tabindex: "-1" }, seen(token)));
  const grid = el(
    "div",
    { class: "prompt-fates", role: "grid", "aria-label": "Token fate", "aria-describedby": said.id },
    el("div", { role: "row" }, ...cells),
  );

  const show = () => {
    state.at = Number(slider.value);
    slider.setAttribute("aria-valuetext", `layer ${found.layers[state.at]}`);
    found.tokens.forEach((token, i) => {
      const f = token.fates[state.at];
      cells[i].className = f.fate;
      cells[i].setAttribute("aria-label", `${token.position} ${JSON.stringify(token.text)}: ${fateOf(f, found)}`);
    });
    text(said, caption(found, state.at));
  };
  const look = (cell) => {
    const i = cells.indexOf(cell);
    for (const other of cells) other.classList.remove("target");
    if (i < 0) return text(detail, "Point at a token, or walk through them with the arrow keys.");
    const f = found.tokens[i].fates[state.at];
    if (f.fate === "merged") cells[found.tokens.findIndex((t) => t.position === f.into)]?.classList.add("target");
    return text(detail, cell.getAttribute("aria-label"));
  };
  slider.addEventListener("input", () => {
    show();
    look(document.activeElement);
  });
  grid.addEventListener("mouseover", (event) => look(event.target));
  grid.addEventListener("mouseleave", () => look(document.activeElement));
  grid.addEventListener("focusin", (event) => look(event.target));
  rove(grid, cells);
  show();
  look();
  return [el("div", { class: "layer" }, el("label", { for: slider.id }, "Layer"), slider, said), grid, detail, legend(found)];
}

/** The name of a folded token says into which word it went. */
function fateOf(f, found) {
  const into = f.fate === "merged" && found.tokens.find((t) => t.position === f.into);
  return inWords(f) + (into ? `, which is ${JSON.stringify(into.text)}` : "");
}

/** One stop for Tab, arrows within. */
function rove(grid, cells) {
  const [first] = cells;
  if (first) first.tabIndex = 0;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8, Home: -Infinity, End: Infinity };
  grid.addEventListener("keydown", (event) => {
    const at = cells.indexOf(document.activeElement);
    if (at < 0 || !(event.key in step)) return;
    event.preventDefault();
    const next = cells[Math.max(0, Math.min(cells.length - 1, at + step[event.key]))];
    cells[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

const counted = (found, at, fate) => found.tokens.filter((token) => token.fates[at].fate === fate).length;

const caption = (found, at) =>
  `After layer ${found.layers[at]}: ${counted(found, at, "kept")} kept, ${counted(found, at, "pruned")} pruned, ${counted(found, at, "merged")} folded`;

function allLayers(found, state) {
  const words = `● kept, ✕ pruned, ⤷ n folded into position n.${found.left_out ? ` The first ${found.left_out} tokens are left out.` : ""}`;
  const columns = ["Position", "Token", ...found.layers.map((layer) => `After layer ${layer}`)];
  const details = el(
    "details",
    { open: state.open },
    el("summary", {}, `All layers, per token (${found.tokens.length})`),
    picture(found),
    table("Fate of each token of the prompt", words, columns, found.tokens.map(line), { class: "small" }),
  );
  details.addEventListener("toggle", () => {
    state.open = details.open;
  });
  return [details];
}

function picture(found) {
  const fates = el(
    "div",
    { class: "fates" },
    ...found.layers.map((_, at) => band(found, at)),
    el("div", { class: "band below", "aria-hidden": "true" }, ...found.tokens.map((token) => el("span", {}, seen(token)))),
  );
  fates.style.setProperty("--tokens", found.tokens.length);
  return scroller("Fate and score of each token, layer by layer", fates);
}

/** One layer: the lowest of its scores is a stub, the highest fills the band; without scores all bars are as high. */
function band(found, at) {
  const scores = found.tokens
    .map((token) => token.fates[at])
    .filter(has)
    .map((f) => f.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const share = (f) => (has(f) && high > low ? (f.score - low) / (high - low) : 0.5);
  const bar = (token) => {
    const f = token.fates[at];
    const node = el("span", { class: f.fate, title: `${token.position} ${JSON.stringify(token.text)}: ${inWords(f)}` });
    node.style.blockSize = `${12 + 88 * share(f)}%`;
    return node;
  };
  const said = caption(found, at);
  return el("div", {}, el("h3", { "aria-hidden": "true" }, said), el("div", { class: "band", role: "img", "aria-label": said }, ...found.tokens.map(bar)));
}

function legend(found) {
  const isScored = found.tokens.some((token) => token.fates.some(has));
  const height = isScored
    ? "a bar's height is the method's score, from the lowest to the highest in this layer"
    : "this method scores nothing, so all bars are as high";
  const sample = (fate, words) => [el("span", { class: `sample ${fate}`, "aria-hidden": "true" }), words];
  return el(
    "p",
    { class: "note" },
    ...sample("kept", " kept "),
    ...sample("merged", " folded into another "),
    ...sample("pruned", " pruned"),
    `. Below, ${height}.`,
    found.left_out ? ` The first ${found.left_out} tokens are left out, of the counts too.` : "",
  );
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
  return row(String(token.position), "", word, ...token.fates.map(fate));
}
