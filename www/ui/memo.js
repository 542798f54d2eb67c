// For panels whose data is large: redrawn when another object is to be shown, which is found out without reading it.

/**
 * Returns draw(what); `make(what)` gives the new children.
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
