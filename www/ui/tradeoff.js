// The trade-off: every measured setting a point, quality against a cost that can be chosen.

import { metric, metricInterval } from "../format.js";
import { idOf, inLink, methodsOf, specId } from "../points.js";
import { COSTS, frontier, placed, quality, words } from "./chart/figures.js";
import { savePng, saveSvg } from "./chart/export.js";
import { plot, shapeOf, SERIES } from "./chart/plot.js";
import { fill } from "./control.js";
import { byId, cell, el, row, table, text } from "./dom.js";
import { sweeping } from "./sweep.js";
import { svg } from "./whisker.js";

const HEIGHT = 268;
const HINT = "Up and to the right is better. Point at a mark for its figures; click or Enter takes its settings.";

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function tradeoff(app) {
  const root = byId("tradeoff");
  const picture = svg("svg", { class: "tradeoff", role: "group", "aria-label": "Trade-off chart" });
  const twin = el("div", { class: "twin", hidden: true });
  const empty = el("p", { class: "empty", hidden: true }, "Every run becomes a point here.");
  const said = el("p", { class: "note readout" }, HINT);
  const legend = el("ul", { class: "legend", "aria-label": "Methods in the chart" });
  const cost = el("select", { id: "cost-axis" }, ...COSTS.map(({ id, label }) => el("option", { value: id }, label)));
  const measure = el("select", { id: "quality-axis" });
  const [sweep, drawSweep] = sweeping(app);
  const asTable = button("Table", { "aria-pressed": "false" });
  const tools = el(
    "div",
    { class: "row tools" },
    field("Quality", measure),
    field("Cost", cost),
    sweep,
    asTable,
    saving("SVG", () => saveSvg(picture, "whittle-trade-off")),
    saving("PNG", () => savePng(picture, "whittle-trade-off")),
  );
  root.replaceChildren(tools, el("figure", { "aria-label": "Trade-off" }, picture, twin, empty), said, legend);

  let shown = "";
  let current = COSTS[0];
  let list = [];
  let marks = [];
  const redraw = () => {
    shown = "";
    app.redraw();
  };
  let chosen = false;
  cost.addEventListener("change", () => {
    chosen = true;
    redraw();
  });
  measure.addEventListener("change", redraw);
  asTable.addEventListener("click", () => {
    twin.hidden = !twin.hidden;
    asTable.setAttribute("aria-pressed", String(!twin.hidden));
    redraw();
  });
  new ResizeObserver(redraw).observe(root);
  pointing(
    picture,
    () => marks,
    (at) => text(said, at === undefined ? HINT : words(list[at], current)),
    (at) => restore(app, list[at]),
  );

  return (view, catalog) => {
    if (!view) return;
    drawSweep(view, catalog);
    const all = app.points.of(idOf(view.settings.model), evaluation(view)).map((entry) => named(entry, catalog));
    const metrics = metricsOf(all);
    fill(measure, metrics);
    measure.value ||= metrics[0]?.id ?? "";
    // Until the person chooses: removed tokens save arithmetic, while zeros among weights need not save anything counted.
    if (!chosen) cost.value = view.settings.prune === "off" ? "flops" : "strength";
    current = COSTS.find(({ id }) => id === cost.value) ?? COSTS[0];
    const name = measure.value || metrics[0]?.id;
    const here = methodsOf(view.fragment);
    const width = Math.max(300, Math.round(root.clientWidth));
    const key = JSON.stringify([
      all.map(({ point, source }) => [point.key, source, point.items, Boolean(point.speed)]),
      name,
      current.id,
      width,
      here,
      twin.hidden,
    ]);
    if (key === shown) return;
    shown = key;
    list = placed(all, current, name);
    number(list);
    draw(width, here);
  };

  function draw(width, here) {
    const nothing = list.length === 0;
    empty.hidden = !nothing;
    picture.toggleAttribute("hidden", nothing || !twin.hidden);
    for (const p of list) p.name = `${words(p, current)}. Take its settings.`;
    const q = list[0]?.quality;
    const best = q ? frontier(list, current, q.higher_is_better) : [];
    const focused = marks.indexOf(document.activeElement);
    marks = nothing
      ? []
      : plot(picture, width, HEIGHT, {
          points: list,
          best,
          cost: current,
          yLabel: `${q.higher_is_better ? "↑ " : ""}${q.label}${q.higher_is_better ? "" : ", upside down: up is better"}`,
          here,
          writeY: (v) => metric(v, q.unit, q.baseline?.value ?? v),
          upward: q.higher_is_better,
        });
    const stop = marks[focused] ?? marks[0];
    if (stop) stop.tabIndex = 0;
    if (focused >= 0) stop?.focus();
    legend.replaceChildren(...entries(list));
    twin.replaceChildren(...(twin.hidden ? [] : [asRows(list, best, current)]));
  }
}

/** The SPEC of the evaluation, which the link has with its knobs. */
const evaluation = ({ fragment, settings }) => (/[#&]ev=/.test(fragment) ? inLink(fragment, "ev") : settings.eval);

const button = (label, attributes = {}) => el("button", { type: "button", class: "small", ...attributes }, label);
const field = (label, select) => el("span", { class: "field-in-row" }, el("label", { for: select.id }, label), select);

function saving(label, save) {
  const node = button(label, { "aria-label": `Save the chart as ${label}` });
  node.addEventListener("click", save);
  return node;
}

function restore(app, entry) {
  if (entry) app.send({ type: "link", fragment: entry.point.fragment });
}

/** The metrics that some point has, for the menu. */
function metricsOf(all) {
  const found = new Map();
  for (const { point } of all) for (const q of point.quality) if (quality(point, q.metric)) found.set(q.metric, { id: q.metric, label: q.label });
  return [...found.values()];
}

/** Adds the words for its methods, and whether it is a control, which are told by the catalog. */
function named(entry, catalog) {
  const { reduce, prune } = entry.point;
  const of = (list, spec) => (spec === "off" ? undefined : (list.find(({ id }) => id === specId(spec)) ?? { label: specId(spec) }));
  const methods = [of(catalog.reductions, reduce), of(catalog.prunings, prune)].filter(Boolean);
  const family = methods.map(({ label }) => label).join(" and ") || "Dense";
  const knobs = [reduce, prune]
    .map((spec) => spec.split(":")[1])
    .filter(Boolean)
    .join(", ");
  const strength = prune === "off" ? knob(catalog.reductions, reduce) : knob(catalog.prunings, prune);
  return { ...entry, family, strength, control: methods.some(({ label }) => /control/i.test(label)), label: knobs ? `${family}, ${knobs}` : family };
}

/** The value of a method's first knob that is a number, which its SPEC may leave to the default; 0 where there is no method. */
function knob(methods, spec) {
  if (spec === "off") return 0;
  const main = methods.find(({ id }) => id === specId(spec))?.knobs.find(({ kind }) => kind.type === "number");
  const written = main && new RegExp(`[:,]${main.id}=([^,]*)`).exec(spec)?.[1];
  return main && Number(written ?? main.kind.default);
}

/** Numbers the pairs of methods: a shape and a colour each. */
function number(list) {
  const families = [...new Set(list.map(({ family }) => family))];
  for (const p of list) p.series = families.indexOf(p.family);
}

function entries(list) {
  const first = new Map();
  for (const p of list) if (!first.has(p.family)) first.set(p.family, p);
  const items = [...first.values()].map((p) =>
    el(
      "li",
      {},
      svg(
        "svg",
        { viewBox: "-7 -7 14 14", class: `mark best ${p.control ? "control" : `s${p.series % SERIES}`}`, "aria-hidden": "true" },
        svg("path", { class: "shape", d: shapeOf(p.series) }),
      ),
      p.family,
    ),
  );
  const reference = list.some(({ source }) => source === "reference");
  return [...items, ...(reference ? [el("li", { class: "pale" }, "pale: reference, measured before; your own runs replace it")] : [])];
}

function asRows(list, best, cost) {
  const line = (p) =>
    row(
      p.label,
      [p.source, best.includes(p) ? "on the frontier" : ""].filter(Boolean).join(", "),
      cell(metric(p.y.value, p.quality.unit, p.quality.baseline?.value), `(${metricInterval(p.y, p.quality.unit, p.quality.baseline?.value)}) n=${p.y.n}`),
      cell(cost.write(p.x.value), p.x.low === undefined ? cost.kind : `(${cost.write(p.x.low)} to ${cost.write(p.x.high)})`),
    );
  return table(
    "Trade-off table",
    `The points of the chart; ${cost.label.toLowerCase()} is ${cost.kind}.`,
    ["Setting", list[0]?.quality.label ?? "Quality", cost.label],
    list.map(line),
    { class: "small" },
  );
}

/** Hover and focus tell, click and Enter choose, arrows walk from left to right. */
function pointing(picture, marks, tell, choose) {
  const at = (event) => {
    const found = marks().indexOf(event.target.closest?.(".mark"));
    return found < 0 ? undefined : found;
  };
  picture.addEventListener("mouseover", (event) => tell(at(event)));
  picture.addEventListener("mouseleave", () => tell(undefined));
  picture.addEventListener("focusin", (event) => tell(at(event)));
  picture.addEventListener("focusout", () => tell(undefined));
  picture.addEventListener("click", (event) => {
    if (at(event) !== undefined) choose(at(event));
  });
  picture.addEventListener("keydown", (event) => {
    const i = at(event);
    if (i === undefined) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(i);
      return;
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const sorted = [...marks()].sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x);
    const next = sorted[(sorted.indexOf(marks()[i]) + step + sorted.length) % sorted.length];
    marks()[i].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
