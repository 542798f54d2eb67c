// A few words for the DOM. Text only ever enters through textContent.

/** @returns {any} An element of index.html; which kind it is, the caller knows. */
export const byId = (id) => document.getElementById(id);

/**
 * el("td", { class: "number", hidden: true }, "text", child): an attribute that is false or undefined is left out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | undefined)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

/** Writes only what is new, so that selections and screen readers are left in peace. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/**
 * Redraws a part only when `what` it shows has changed. Returns draw(what); `make(what)` gives the new children.
 * @template T
 * @param {Element} root
 * @param {(what: T) => (Node | string)[]} make
 * @returns {(what: T) => void}
 */
export function part(root, make) {
  let last;
  return (what) => {
    const key = JSON.stringify(what) ?? "";
    if (key === last) return;
    last = key;
    root.replaceChildren(...make(what));
  };
}

/**
 * The same for large data: redrawn when another object is to be shown, which is found out without reading it.
 * @template T
 * @param {Element} root
 * @param {(what: T) => (Node | string | undefined)[]} make
 * @returns {(what: T) => void}
 */
export function drawn(root, make) {
  /** @type {any} */
  let last = {};
  return (what) => {
    if (what === last) return;
    last = what;
    root.replaceChildren(...make(what).filter((node) => node !== undefined));
  };
}

/** A box that scrolls sideways on its own instead of the page, and can be reached by keyboard. */
export const scroller = (label, ...children) => el("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": label }, ...children);

/**
 * A table with a caption and column names; `rows` are made with row(). The roles repeat what the elements mean because
 * on a phone the rows are laid out as grids, which makes some browsers forget it.
 */
export function table(name, caption, columns, rows, attributes = {}) {
  const heads = columns.map((column) => el("th", { scope: "col", role: "columnheader" }, column));
  return scroller(
    name,
    el(
      "table",
      { ...attributes, role: "table" },
      el("caption", {}, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)),
      el("tbody", { role: "rowgroup" }, ...rows),
    ),
  );
}

/** `detail` says more about the head, in small. */
export const row = (head, detail, ...cells) => el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, head, small(detail)), ...cells);

/** A figure, and in small what it rests on. */
export const cell = (value, detail, ...more) => el("td", { role: "cell" }, el("b", {}, value), ...more, small(detail));

const small = (words) => (words ? el("small", {}, words) : undefined);

/**
 * A term and what it is, one pair of a dl.
 * @param {string} term
 * @param {Node | string} value
 * @param {{ about?: string, more?: string | Node }} [words]
 */
export const fact = (term, value, { about, more } = {}) => el("div", {}, el("dt", {}, term, small(about)), el("dd", {}, value, small(more)));

/**
 * Why a device was chosen: a sentence for people, and folded what the driver said, which follows a line end.
 * @param {string} words
 */
export function reason(words) {
  const [plain, ...details] = words.split("\n");
  return el("span", {}, plain, ...(details.length ? [el("details", {}, el("summary", {}, "Details"), details.join("\n"))] : []));
}

/** The waiting line of a panel that has nothing to show yet. */
export const empty = (words) => el("p", { class: "empty" }, words);

/** What this browser keeps for the page, a line each; nothing where it keeps nothing. */
export const shelf = (lines) => (lines.length === 0 ? [] : [el("h3", {}, "Kept in this browser"), el("ul", { class: "plain" }, ...lines)]);

/**
 * Fills the element `id` with a button that has the engine measure something beside a run, and what was found. Returns
 * show(view, found, why): `why` says that it cannot be asked for.
 * @template {{ done: boolean, text: string }} T
 * @param {import("../state.js").App} app
 * @param {string} id
 * @param {{ words: string, label: string, tools?: Node[], ask: () => import("../state.js").Request, make: (found: T) => Node[] }} what
 */
export function asked(app, id, { words, label, tools = [], ask, make }) {
  const button = el("button", { type: "button", class: "small" }, label);
  const said = el("p", { class: "note", role: "status" });
  const result = el("div");
  byId(id).replaceChildren(el("p", { class: "note" }, words), el("div", { class: "row tools" }, ...tools, button), said, result);
  button.addEventListener("click", () => app.send(ask()));
  const draw = part(result, (/** @type {T | undefined} */ found) => (found ? make(found) : []));
  return (/** @type {import("../state.js").Shown | undefined} */ view, /** @type {T | undefined} */ found, why = "") => {
    button.disabled = !view || view.status.running || why !== "" || found?.done === false;
    text(said, why || (found?.text ?? ""));
    draw(found);
  };
}
