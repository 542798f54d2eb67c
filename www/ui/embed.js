// `?embed=1` before the fragment: the chart and three controls, for a page of a course. What is hidden stands in style.css.

import { byId } from "./dom.js";

/** @returns {import("../state.js").Panel} */
export function embed() {
  const on = new URLSearchParams(location.search).get("embed") === "1";
  document.documentElement.toggleAttribute("data-embed", on);
  const whole = byId("whole");
  whole.hidden = !on;
  return (view) => {
    if (on) whole.href = location.pathname + (view?.fragment ?? location.hash);
  };
}
