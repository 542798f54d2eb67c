// Form elements whose values belong to the engine: what a person does is sent, what is shown comes from the view.

import { el } from "./dom.js";

/** How long a view from before a change may not undo what the person sees; views in flight are far younger. */
const ECHO_MS = 1000;

/** One named setting and the elements that show it. `send(value)` is called when the person has decided. */
export class Control {
  #elements;
  #editing = false;
  #sent;
  #shown;

  constructor(elements, send, redraw) {
    this.#elements = elements;
    for (const element of elements) {
      element.addEventListener("input", () => {
        this.#editing = true;
        for (const other of elements) if (other !== element) other.value = element.value;
      });
      element.addEventListener("blur", () => { this.#editing = false; redraw(); });
      element.addEventListener("change", () => {
        this.#editing = false;
        this.#sent = { over: this.#shown, at: performance.now() };
        setTimeout(redraw, ECHO_MS);
        send(element.value);
      });
    }
  }

  /** Shows the engine's value, unless the person is in the middle of another. */
  show(value = "") {
    if (this.#editing) return;
    if (this.#sent?.over === value && performance.now() - this.#sent.at < ECHO_MS) return;
    this.#sent = undefined;
    this.#shown = value;
    for (const element of this.#elements) if (element.value !== value) element.value = value;
  }
}

/** Radio buttons, or anything that can pretend to be one element with a value. */
export function radioGroup(root) {
  return {
    addEventListener: (kind, listener) => root.addEventListener(kind, listener),
    get value() { return root.querySelector("input:checked")?.value ?? ""; },
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
