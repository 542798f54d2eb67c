// Run or Cancel, Reset, and how far the run is.

import { byId, text } from "./dom.js";

/** A screen reader is told at most this often. */
const STATUS_MS = 1000;

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function runBar(app) {
  const run = byId("run");
  const progress = byId("progress");
  const status = saying(byId("status"), STATUS_MS);
  let wasRunning = false;
  const running = () => app.view()?.status.running ?? false;

  // Leaving a field on the way to the button may already start a run and turn Run into Cancel under the finger:
  // what counts is what the button said when it was pressed.
  let pressed;
  run.addEventListener("pointerdown", () => {
    pressed = running();
  });
  run.addEventListener("click", () => {
    const cancels = (pressed ?? running()) && !app.hasJustChanged();
    pressed = undefined;
    if (cancels) app.send({ type: "cancel" });
    else if (!running()) app.send({ type: "run" });
  });
  byId("reset").addEventListener("click", () => app.send({ type: "reset" }));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running()) app.send({ type: "cancel" });
  });
  const enter = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const field = /** @type {HTMLElement} */ (event.target);
    const before = app.sent();
    // Leaving and re-entering makes the browser tell a changed value, and a changed value starts a run by itself.
    field.blur();
    field.focus();
    if (app.sent() === before) app.send({ type: "run" });
  };
  byId("settings").addEventListener("keydown", enter);
  byId("prompt").addEventListener("keydown", enter);

  return (view, _catalog, loading) => {
    const state = view?.status ?? { running: false, text: loading, progress: null };
    run.disabled = !view;
    byId("reset").disabled = !view;
    text(run, state.running ? "Cancel" : "Run");
    run.classList.toggle("primary", !state.running);
    progress.hidden = !(state.running || (!view && !app.failure()));
    if (state.progress == null) progress.removeAttribute("value");
    else progress.value = state.progress;
    status(state.text, !(state.running && wasRunning));
    wasRunning = state.running;
  };
}

/** Writes the newest words at most once in `ms`, but at once when they are the last. */
function saying(node, ms) {
  let next;
  let timer;
  let last = -ms;
  const say = () => {
    timer = undefined;
    if (node.textContent === next) return;
    text(node, next);
    last = performance.now();
  };
  return (words, now) => {
    next = words;
    if (now) {
      clearTimeout(timer);
      say();
    } else timer ??= setTimeout(say, Math.max(0, last + ms - performance.now()));
  };
}
