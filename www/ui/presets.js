// Named pairs of methods. A preset is the link of the page with the two methods exchanged, so everything else stays.

import { json } from "../data.js";
import { methodsOf } from "../points.js";
import { Control, fill } from "./control.js";
import { byId } from "./dom.js";

const CUSTOM = { id: "", label: "Custom" };

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function presets(app) {
  let list = [];
  const select = byId("preset");
  const control = new Control(
    [select],
    (id) => {
      const chosen = list.find((preset) => preset.id === id);
      const fragment = app.view()?.fragment;
      return chosen && fragment ? app.send({ type: "link", fragment: exchanged(fragment, chosen) }) : undefined;
    },
    app,
  );

  json("presets.json").then((found) => {
    list = (Array.isArray(found) ? found : []).map((preset) => ({ ...preset, id: `${preset.reduce} ${preset.prune}` }));
    app.redraw();
  });

  return (view) => {
    if (!view) return;
    const id = methodsOf(view.fragment);
    const known = list.some((preset) => preset.id === id);
    fill(select, [...(known ? [] : [CUSTOM]), ...list]);
    control.show(known ? id : CUSTOM.id);
  };
}

export function exchanged(fragment, { reduce, prune }) {
  return fragment.replace(/([#&]tr=)[^&]*/, `$1${reduce}`).replace(/([#&]sp=)[^&]*/, `$1${prune}`);
}
