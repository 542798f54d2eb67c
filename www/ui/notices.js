// What needs reading: errors at once, the rest when it suits.

import { byId, el, part } from "./dom.js";

const BUTTONS = { restart: "Restart engine", afresh: "Start over", reload: "Reload page", dismiss: "Dismiss" };

/** `app.failure()` is what the page itself has to say: an engine that broke, a file that cannot be read. */
/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function notices(app) {
  const failing = part(byId("alerts"), ({ errors, failure }) => [
    ...errors.map((text) => el("p", { class: "notice error" }, text)),
    ...(failure ? [broken(failure)] : []),
  ]);
  const telling = part(byId("notices"), (list) =>
    list.map(({ level, text }) => el("li", { class: `notice ${level === "warning" ? "warning" : "info"}` }, text)),
  );

  function broken({ text, action }) {
    const box = el("div", { class: "notice error" }, el("p", {}, text));
    // The same settings may be what the engine cannot do; the opening ones it can.
    for (const way of action === "restart" ? [action, "afresh"] : [action]) {
      const button = el("button", { type: "button" }, BUTTONS[way]);
      button.addEventListener("click", () => app.recover(way));
      box.append(button);
    }
    return box;
  }

  return (view) => {
    const all = view?.notices ?? [];
    failing({ errors: all.filter((n) => n.level === "error").map((n) => n.text), failure: app.failure() });
    telling(all.filter((n) => n.level !== "error"));
  };
}
