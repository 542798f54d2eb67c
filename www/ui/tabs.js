// Panels below the fold, one in view at a time. The markup of a panel stands in index.html; here it gets its tab.

import { byId, el } from "./dom.js";

const KEYS = { ArrowRight: 1, ArrowLeft: -1 };

/** Makes a tab of every .panel; returns show(panelId), which brings one to the front. */
export function tabs() {
  const list = byId("tabs");
  const panels = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".panel")]);
  const made = panels.map((panel) => {
    const tab = el("button", { type: "button", role: "tab", id: `tab-${panel.id}`, "aria-controls": panel.id }, panel.dataset.title);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => show(panel.id));
    return tab;
  });
  list.replaceChildren(...made);
  list.addEventListener("keydown", (event) => {
    const at = made.indexOf(document.activeElement);
    const next = event.key === "Home" ? 0 : event.key === "End" ? made.length - 1 : KEYS[event.key] && (at + KEYS[event.key] + made.length) % made.length;
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    show(panels[next].id);
    made[next].focus();
  });

  function show(id) {
    panels.forEach((panel, at) => {
      const chosen = panel.id === id;
      panel.hidden = !chosen;
      made[at].setAttribute("aria-selected", String(chosen));
      made[at].tabIndex = chosen ? 0 : -1;
    });
  }
  show(panels[0].id);
  return show;
}
