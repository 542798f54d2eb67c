// The engine as the page sees it: a dedicated worker that is told what a person did and answers with views.

/** @import { Ask, Engine, Event, Failure, Hearer } from "./state.js" */

import { startHelpers } from "./helpers.js";

/** What this page speaks; src/session/protocol.rs holds the same number. */
const PROTOCOL = 2;

/** A worker that says nothing for so long is asked whether it is there, and after so long of no answer given up on. */
const ASK_MS = 3_000;
const SILENT_MS = 12_000;
/** How often the page looks. Where it could not for long, the computer slept or the browser held the page back. */
const LOOK_MS = 1_000;
const ASLEEP_MS = 4 * LOOK_MS;

const open = () => new Worker(new URL("worker-start.js", document.baseURI), { type: "module" });

/**
 * Starts a worker. `hear.failed` is called at most once, and then nothing else is.
 * @param {Hearer} hear
 * @returns {Engine}
 */
export function startEngine(hear) {
  let worker;
  let ready = false;
  let over = false;
  let heardAt = performance.now();
  let isSilent = false;
  const helpers = startHelpers(open, (ask) => worker?.postMessage(ask));

  /** @param {Failure["action"]} action */
  const fail = (text, action = "restart") => {
    if (over) return;
    stop();
    hear.failed({ text, action });
  };
  const stop = () => {
    over = true;
    clearInterval(watch);
    worker?.terminate();
    helpers.stop();
  };
  const broke = (detail) =>
    fail(
      ready
        ? `The engine stopped working (${detail}). Its run was dropped. Restart it to go on with the same settings, or start over with the first ones.`
        : `The engine could not be started (${detail}). Check the connection and try again. If you host this page: ` +
            "all files of the build must lie beside index.html, with wasm served as application/wasm.",
    );

  const silence = (now) => {
    isSilent = now;
    hear.silent(now);
  };

  /** @param {Event} event */
  const heard = (event) => {
    if (over) return;
    heardAt = performance.now();
    if (isSilent) silence(false);
    switch (event?.type) {
      case "failed":
        return broke(event.text);
      case "view":
        return hear.view(event);
      case "status":
        return hear.status(event.status);
      case "result":
        return hear.result(event.run, event.part);
      case "cost":
        return hear.cost(event.answers, event.cost);
      case "real_size":
      case "peers":
        return hear.found(event);
      case "assist":
        return helpers.assist(event);
      case "dismiss":
        return helpers.dismiss();
      case "compared":
        return hear.compared(event.answers, event.quality, event.problem);
      case "point":
        return hear.point(event.series, event.point);
      case "catalog":
        break;
      case "pong":
      default:
        return;
    }
    if (event.version !== PROTOCOL) {
      return fail(
        `This page and its engine are of different versions (protocol ${PROTOCOL} and ${event.version}), so they were not ` +
          "connected. Reload the page without its cache (Ctrl+Shift+R, on a Mac Cmd+Shift+R).",
        "reload",
      );
    }
    ready = true;
    hear.catalog(event);
  };

  try {
    worker = open();
  } catch (error) {
    // Reported later, so that the caller has the engine in hand before it hears of its end.
    queueMicrotask(() => broke(error.message));
  }
  if (worker) {
    worker.onmessage = ({ data }) => heard(data);
    worker.onerror = (event) => {
      event.preventDefault();
      broke(event.message || "a file of it is missing or of the wrong type");
    };
    worker.onmessageerror = () => broke("a message could not be read");
  }
  let lookedAt = heardAt;
  // A worker that the system ended, or that hangs, says nothing. Timers of a hidden page are no clock, and while the
  // computer slept nobody could answer.
  const watch = setInterval(() => {
    const now = performance.now();
    const slept = now - lookedAt > ASLEEP_MS;
    lookedAt = now;
    if (slept || document.hidden) hear.disturbed();
    if (slept || document.hidden || !ready) heardAt = now;
    if (now - heardAt > ASK_MS) worker?.postMessage({ id: 0, type: "ping" });
    if (now - heardAt > SILENT_MS && !isSilent) silence(true);
  }, LOOK_MS);
  return {
    stop,
    send(ask, transfer = []) {
      if (!over) worker?.postMessage(ask, transfer);
    },
  };
}
