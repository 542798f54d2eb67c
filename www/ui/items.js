// Every item on both models: which came out right before and wrong after, what each model chose and how likely it was.

import { nats } from "../format.js";
import { save } from "./chart/export.js";
import { byId, drawn, el, empty, table, text } from "./dom.js";
import { csvLine } from "./exports.js";
import { mark } from "./lasting.js";

/** @import { ItemView, Score } from "../protocol.js" */
/** @import { Line } from "../state.js" */

/** Rows that are drawn at a time. */
const PAGE = 50;
/** What can be shown: id, label, which items. @type {[string, string, (line: Line) => boolean][]} */
const SHOWN = [
  ["lost", "Right before, wrong after", ({ right }) => right[0] === true && right[1] === false],
  ["won", "Wrong before, right after", ({ right }) => right[0] === false && right[1] === true],
  ["all", "All", () => true],
];
/** Columns that sort: label, key. @type {[string, (line: Line) => number | string][]} */
const COLUMNS = [
  ["Item", (line) => line.item],
  ["Baseline", (line) => line.logs[0]],
  ["Compressed", (line) => line.logs[1]],
  ["Change", (line) => line.logs[1] - line.logs[0]],
];
/** @type {[string, (found: ItemView[]) => string, string, string][]} */
const EXPORTS = [
  ["JSONL", toJsonl, "application/x-ndjson", "jsonl"],
  ["CSV", toCsv, "text/csv", "csv"],
];

/** @returns {import("../state.js").Panel} */
export function items() {
  const root = byId("items");
  // The person's choices outlive a redraw.
  const state = { shown: "lost", by: 3, down: false, most: PAGE };
  const draw = drawn(root, (/** @type {ItemView[] | null | undefined} */ found) => {
    if (!found?.length) return [empty("Each item appears here once all are scored.")];
    state.most = PAGE;
    const box = el("div");
    const again = () => box.replaceChildren(...content(found.map(lineOf), state, again));
    again();
    return [
      box,
      el(
        "div",
        { class: "row tools" },
        ...EXPORTS.map(([label, write, type, ending]) =>
          small(`Export as ${label}`, () => save(new Blob([write(found)], { type }), `whittle-items.${ending}`)),
        ),
      ),
    ];
  });
  return (view) => {
    mark(byId("items").closest("section"), view?.run?.was?.includes("items") ?? false);
    draw(view?.run?.items);
  };
}

/** @param {Line[]} lines */
function content(lines, state, again) {
  const judged = lines.some(({ right }) => right[0] !== null);
  const shown = judged ? (SHOWN.find(([id]) => id === state.shown) ?? SHOWN[0]) : SHOWN[2];
  const count = ([, , fits]) => lines.filter(fits).length;
  const buttons = (judged ? SHOWN : [SHOWN[2]]).map((each) =>
    small(
      `${each[1]} (${count(each)})`,
      () => {
        state.shown = each[0];
        state.most = PAGE;
        again();
      },
      { "aria-pressed": String(each === shown) },
    ),
  );
  const [, key] = COLUMNS[state.by];
  const sorted = lines.filter(shown[2]).sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  if (state.down) sorted.reverse();
  const rest = sorted.length - state.most;
  return [
    el("p", { class: "note" }, sentence(lines, judged)),
    el("div", { class: "row tools" }, ...buttons),
    sorted.length ? sortable(sorted.slice(0, state.most), state, again) : empty("No item is so."),
    ...(rest > 0
      ? [
          small(`Show ${Math.min(PAGE, rest)} more of ${rest}`, () => {
            state.most += PAGE;
            again();
          }),
        ]
      : []),
  ];
}

/** @param {Line[]} lines */
function sentence(lines, judged) {
  if (!judged) return "Look at the largest fall of the log-likelihood: these windows cost the compressed model most.";
  const [lost, won] = SHOWN.map(([, , fits]) => lines.filter(fits).length);
  return `${lost} of ${lines.length} items were right before and are wrong after, ${won} the other way round. Look at what the lost ones have in common.`;
}

/** @param {Line[]} lines */
function sortable(lines, state, again) {
  const node = table(
    "Items table",
    "Log-likelihood of the right continuation, or of the window a token, of the document a word, in nats; below, what each model chose.",
    COLUMNS.map(([label]) => label),
    lines.map(asRow),
    { class: "small", "aria-label": "Items" },
  );
  node.querySelectorAll("th[scope='col']").forEach((th, at) => {
    const button = small(`${th.textContent}${at === state.by ? (state.down ? " ↓" : " ↑") : ""}`, () => {
      [state.by, state.down] = at === state.by ? [at, !state.down] : [at, false];
      again();
    });
    if (at === state.by) th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    th.replaceChildren(button);
  });
  return node;
}

/** @param {Line} line */
function asRow({ item, context, options, label, right, chosen, logs }) {
  const head = el(
    "th",
    { scope: "row", role: "rowheader" },
    item,
    el("small", { class: "context" }, context),
    el("small", {}, `→ ${JSON.stringify(options[label] ?? options[0] ?? "")}`),
  );
  const side = (at) => el("td", { role: "cell" }, el("b", {}, nats(logs[at])), el("small", {}, ` ${took(right[at], chosen[at], options)}`));
  return el("tr", { role: "row" }, head, side(0), side(1), el("td", { role: "cell" }, el("b", {}, nats(logs[1] - logs[0]))));
}

function took(right, chosen, options) {
  const mark = right === null ? "" : right ? "✓ right" : "✗ wrong";
  return chosen === null || right ? mark : `${mark}: ${JSON.stringify(options[chosen] ?? `choice ${chosen}`)}`;
}

/** @param {ItemView} view @returns {Line} */
function lineOf({ item, context, options, baseline, compressed }) {
  const of = [baseline, compressed].map(judged);
  return {
    item,
    context,
    options,
    label: baseline.kind === "choice" ? baseline.label : 0,
    right: [of[0].right, of[1].right],
    chosen: [of[0].chosen, of[1].chosen],
    logs: [of[0].log, of[1].log],
    all: [of[0].all, of[1].all],
  };
}

/** @param {Score} score */
function judged(score) {
  switch (score.kind) {
    case "choice":
      return { right: score.chosen === score.label, chosen: score.chosen, log: -score.nats[score.label], all: score.nats.map((x) => -x) };
    case "answer":
      return { right: score.right, chosen: null, log: -score.nats, all: [-score.nats] };
    case "document":
      return { right: null, chosen: null, log: -score.nats / score.words, all: [-score.nats] };
    // A window's cost by token, so that windows of any length compare.
    case "span":
      return { right: null, chosen: null, log: -score.nats / score.tokens, all: [-score.nats] };
  }
}

/** @param {ItemView[]} found */
function toJsonl(found) {
  return found.map((view) => `${JSON.stringify(view)}\n`).join("");
}

/** @param {ItemView[]} found */
function toCsv(found) {
  const head = [
    "item",
    "context",
    "right_option",
    "baseline_right",
    "compressed_right",
    "baseline_chosen",
    "compressed_chosen",
    "baseline_log_likelihoods",
    "compressed_log_likelihoods",
  ];
  const line = (l) => [l.item, l.context, l.options[l.label], l.right[0], l.right[1], l.chosen[0], l.chosen[1], l.all[0].join(";"), l.all[1].join(";")];
  return [head, ...found.map(lineOf).map(line)].map(csvLine).join("\r\n") + "\r\n";
}

function small(label, act, attributes = {}) {
  const button = el("button", { type: "button", class: "small", ...attributes });
  text(button, label);
  button.addEventListener("click", act);
  return button;
}
