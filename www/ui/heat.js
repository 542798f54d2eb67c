// Layers by matrices as a table whose cells are shaded: what was asked of each matrix, what it got, what that did.

import { error, percent } from "../format.js";
import { el, row, table } from "./dom.js";

/** What a cell can show: the matrix's figure, how it is written, and a sentence about the darkest. */
const SHOWN = [
  {
    id: "achieved",
    label: "Zeros or gone",
    of: (m) => m.achieved,
    write: (x) => percent(x, 0),
    say: (m) => `${m.name} lost the most: ${percent(m.achieved)} of its weights.`,
  },
  {
    id: "held_out",
    label: "Output error, held out",
    of: (m) => m.held_out_error ?? m.error,
    write: error,
    say: (m) => `${m.name} suffers the most: its output is off by ${error(m.held_out_error ?? m.error)} of its own square on text that no statistic saw.`,
  },
];
/** Percent of accent in the darkest cell: the figures stay readable in both themes. */
const DEEPEST = 40;

/**
 * Returns the nodes of the map; `state.shown` is the person's choice and outlives a redraw.
 * @param {any[]} matrices
 * @param {{ shown: string }} state
 * @param {() => void} again
 */
export function heatMap(matrices, state, again) {
  const placed = matrices.map((m) => ({ m, ...place(m.name) }));
  const layers = [...new Set(placed.map(({ layer }) => layer))];
  const kinds = [...new Set(placed.map(({ kind }) => kind))];
  const show = SHOWN.find(({ id }) => id === state.shown) ?? SHOWN[0];
  const most = Math.max(...matrices.map(show.of).filter(Number.isFinite), 1e-12);
  const darkest = matrices.reduce((a, b) => ((show.of(b) ?? 0) > (show.of(a) ?? 0) ? b : a));
  const cellOf = (layer, kind) => {
    const found = placed.find((p) => p.layer === layer && p.kind === kind)?.m;
    const value = found && show.of(found);
    const td = el("td", { role: "cell", class: "heat" }, Number.isFinite(value) ? show.write(value) : "–");
    if (Number.isFinite(value)) td.style.setProperty("--deep", `${Math.round((DEEPEST * value) / most)}%`);
    return td;
  };
  const choice = ({ id, label }) => {
    const button = el("button", { type: "button", class: "small", "aria-pressed": String(id === show.id) }, label);
    button.addEventListener("click", () => {
      state.shown = id;
      again();
    });
    return button;
  };
  return [
    el("div", { class: "row tools" }, ...SHOWN.map(choice)),
    table(
      "Heat map of layers and matrices",
      `${show.label}: the darker, the more.`,
      ["Layer", ...kinds],
      layers.map((layer) => row(layer, undefined, ...kinds.map((kind) => cellOf(layer, kind)))),
      { class: "small map" },
    ),
    el(
      "p",
      { class: "note" },
      alike(matrices.map(show.of)) ? "All matrices are alike in this: the method asks each for the same." : `Look for a dark cell: ${show.say(darkest)}`,
    ),
  ];
}

/** Whether the figures differ by less than is written. */
const alike = (values) => Math.max(...values) - Math.min(...values) < 0.005 * Math.max(...values);

/** "backbone.layers.3.mixer.in_proj.weight" -> layer 3, in_proj. */
function place(name) {
  const found = /(?:^|\.)(\d+)\.(.+?)(?:\.weight)?$/.exec(name);
  if (!found) return { layer: "–", kind: name };
  return { layer: found[1], kind: found[2].split(".").at(-1) ?? found[2] };
}
