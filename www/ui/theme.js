// Light or dark: the system's choice until the person makes one.

import { byId } from "./dom.js";

const KEY = "whittle-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function theme() {
  const button = byId("theme");
  let chosen = remembered();
  const dark = () => (chosen ? chosen === "dark" : system.matches);
  const apply = () => {
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.setAttribute("aria-pressed", String(dark()));
  };
  button.addEventListener("click", () => {
    chosen = dark() ? "light" : "dark";
    remember(chosen);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

// Storage may be forbidden; then the choice lasts as long as the page.
function remembered() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "dark" || value === "light" ? value : undefined;
  } catch {
    return undefined;
  }
}

function remember(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // See above.
  }
}
