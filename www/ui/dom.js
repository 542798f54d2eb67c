// A few words for the DOM. Text only ever enters through textContent.

export const byId = (id) => document.getElementById(id);

/** el("td", { class: "number", hidden: true }, "text", child): an attribute that is false or undefined is left out. */
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

/** A box that scrolls sideways on its own instead of the page, and can be reached by keyboard. */
export const scroller = (label, ...children) =>
  el("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": label }, ...children);

/** The waiting line of a panel that has nothing to show yet. */
export const empty = (words) => el("p", { class: "empty" }, words);
