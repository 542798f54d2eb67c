// Form elements whose values belong to the engine: what a person does is sent, what is shown comes from the view.

import { el } from "./dom.js";

/** @import { App } from "../state.js" */

/** A slider moved by keys has been let go when no key came for so long: holding an arrow is one change. */
const KEY_MS = 250;

/** One named setting and the elements that show it. */
export class Control {
  #elements;
  #editing = false;
  /** The request that told the newest change; views that do not know of it yet may not undo what the person sees. */
  #sent = 0;
  #timer;
  #app;

  /**
   * @param {any[]} elements
   * @param {(value: string) => number | undefined} send Called when the person has decided; gives the request's number.
   * @param {App} app
   * @param {(value: string) => void} [moving] Called while a finger is still on it.
   */
  constructor(elements, send, app, moving) {
    this.#elements = elements;
    this.#app = app;
    const decide = (element) => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#editing = false;
      this.#sent = send(typed(element)) ?? 0;
    };
    for (const element of elements) {
      let byKey = false;
      element.addEventListener("keydown", () => {
        byKey = true;
      });
      element.addEventListener("pointerdown", () => {
        byKey = false;
      });
      element.addEventListener("input", () => {
        this.#editing = true;
        for (const other of elements) if (other !== element) other.value = typed(element);
        if (element.type === "range") moving?.(element.value);
      });
      element.addEventListener("blur", () => {
        if (this.#timer) return decide(element);
        this.#editing = false;
        return app.redraw();
      });
      element.addEventListener("change", () => {
        if (!(byKey && element.type === "range")) return decide(element);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => decide(element), KEY_MS);
        return undefined;
      });
      if (element.getAttribute?.("role") === "spinbutton") spins(element, elements);
    }
  }

  /** Shows the engine's value, unless the person is in the middle of another. */
  show(value = "") {
    if (this.#editing || this.#sent > (this.#app.view()?.answers ?? 0)) return;
    for (const element of this.#elements) if (element.value !== value) element.value = value;
  }
}

/** What was typed into a box for numbers, in the digits and with the point of the engine: "0,5" and "０．５" are 0.5. */
export function typed({ value, inputMode }) {
  return inputMode === "decimal"
    ? value
        .normalize("NFKC")
        .trim()
        .replace(/^([+-]?\d*),(\d+)$/, "$1.$2")
        .replace("−", "-")
    : value;
}

/** Up and down in a box step as its slider does. */
function spins(box, elements) {
  const slider = elements.find((element) => element.type === "range");
  if (!slider) return;
  box.addEventListener("keydown", (event) => {
    const step = { ArrowUp: "stepUp", ArrowDown: "stepDown" }[event.key];
    if (!step) return;
    event.preventDefault();
    slider[step]();
    box.value = slider.value;
    box.dispatchEvent(new Event("change"));
  });
}

/** Radio buttons, or anything that can pretend to be one element with a value. */
export function radioGroup(root) {
  return {
    addEventListener: (kind, listener) => root.addEventListener(kind, listener),
    get value() {
      return root.querySelector("input:checked")?.value ?? "";
    },
    set value(value) {
      for (const radio of root.querySelectorAll("input")) radio.checked = radio.value === value;
    },
  };
}

/** Options are { id, label, disabled }. The same options are left alone, an open list stays open. */
export function fill(select, options) {
  const key = JSON.stringify(options);
  if (select.dataset.options === key) return;
  select.dataset.options = key;
  const value = select.value;
  select.replaceChildren(...options.map((o) => el("option", { value: o.id, disabled: o.disabled }, o.label)));
  select.value = value;
}
