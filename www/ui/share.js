// The address says what is shown: written when a run is complete, or when someone asks for the link.

import { byId, text } from "./dom.js";

const SETTLE_MS = 500;

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function share(app) {
  const button = byId("share");
  const row = byId("link-row");
  const box = byId("link");
  let timer;

  const address = (fragment) => location.pathname + location.search + fragment;
  const link = (view) => location.origin + address(view.fragment);
  const write = (fragment) => {
    clearTimeout(timer);
    timer = undefined;
    if (fragment && location.hash !== fragment) history.replaceState(null, "", address(fragment));
  };

  button.addEventListener("click", async () => {
    const view = app.view();
    if (!view) return;
    write(view.fragment);
    row.hidden = false;
    box.value = link(view);
    box.select();
    try {
      await navigator.clipboard.writeText(box.value);
      text(byId("link-said"), "Link copied. It holds model, settings, prompt and seed.");
    } catch {
      text(byId("link-said"), "The browser did not allow copying; copy the link from the box. It holds model, settings, prompt and seed.");
    }
  });
  addEventListener("hashchange", () => app.send({ type: "link", fragment: location.hash }));

  return (view) => {
    button.disabled = !view?.fragment;
    if (!view) return;
    if (!row.hidden && box.value !== link(view)) {
      // A link of other settings is not left standing.
      box.value = link(view);
      text(byId("link-said"), "The settings changed; this is the new link.");
    }
    const settled = view.run?.finished && !view.status.running;
    if (!settled) {
      clearTimeout(timer);
      timer = undefined;
    } else if (timer === undefined && location.hash !== view.fragment) timer = setTimeout(() => write(app.view()?.fragment), SETTLE_MS);
  };
}
