// Keyboard shortcuts, and the dialog that lists them. Single letters can be turned off, for who speaks to the machine.

import { byId, el } from "./dom.js";

const OFF = "whittle-keys-off";
/** Key, what it does, and the element it presses. */
const KEYS = [
  ["?", "this list", "keys-open"],
  ["r", "run, or cancel the run that is on", "run"],
  ["g", "stories", "stories-open"],
  ["s", "share", "share"],
  ["d", "dark or light", "theme"],
  ["1", "scores and controls", "tab-panel-scores"],
  ["2", "along the text", "tab-panel-along"],
  ["3", "items", "tab-panel-items"],
  ["4", "layers", "tab-panel-layers"],
  ["5", "states", "tab-panel-states"],
  ["6", "speed", "tab-panel-speed"],
  ["7", "method and model", "tab-panel-about"],
  ["8", "runs", "tab-panel-runs"],
];
const OTHERS = [
  ["Ctrl+Enter", "run, from any field"],
  ["Escape", "cancel the run, close a dialog"],
  ["← →", "within tabs, chart and tokens"],
];

export function keys() {
  const dialog = byId("keys");
  const off = byId("keys-off");
  const line = (/** @type {string[]} */ [key, does]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, does));
  byId("keys-list").replaceChildren(...[...OTHERS, ...KEYS].map(line));
  off.checked = remembered();
  off.addEventListener("change", () => remember(off.checked));
  byId("keys-open").addEventListener("click", () => dialog.showModal());
  for (const each of document.querySelectorAll("dialog")) {
    each.querySelector(".close")?.addEventListener("click", () => each.close());
    // A click beside the dialog closes it too.
    each.addEventListener("click", (event) => {
      if (event.target === each) each.close();
    });
  }
  addEventListener("keydown", (event) => {
    const chosen = KEYS.find(([key]) => key === event.key);
    if (!chosen || off.checked || event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    byId(chosen[2])?.click();
  });
}

const typing = (target) =>
  target instanceof Element && target.closest("input:not([type='radio'], [type='checkbox'], [type='range']), textarea, select, [contenteditable]") !== null;

// Storage may be forbidden; then the choice lasts as long as the page.
function remembered() {
  try {
    return localStorage.getItem(OFF) === "yes";
  } catch {
    return false;
  }
}

function remember(yes) {
  try {
    localStorage.setItem(OFF, yes ? "yes" : "no");
  } catch {
    // See above.
  }
}
