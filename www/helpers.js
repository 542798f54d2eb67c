// Workers beside the engine: each scores items of the run that is on, and what they say is handed to the engine. It needs
// none of them; they only make a run shorter. They are given its module and files.

/** @import { Ask, Event } from "./state.js" */

/** Each has a model and a WebAssembly memory of its own. */
const MOST = 3;

/**
 * `open` makes a worker with an engine in it, and `toEngine` takes what one has scored.
 * @param {() => Worker} open
 * @param {(ask: Ask) => void} toEngine
 */
export function startHelpers(open, toEngine) {
  /** @type {Worker[] | undefined} */
  let workers;

  function start() {
    // The engine itself takes a core.
    const wanted = Math.min(MOST, (navigator.hardwareConcurrency || 1) - 1);
    return Array.from({ length: wanted }, startOne);
  }

  function startOne() {
    const worker = open();
    // One that breaks is not missed: the engine scores what nobody has scored.
    const drop = () => {
      worker.terminate();
      workers = workers?.filter((other) => other !== worker);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      drop();
    };
    worker.onmessage = (/** @type {MessageEvent<Event>} */ { data }) => {
      if (data.type === "scored") toEngine({ id: 0, type: "scored", call: data.call, scored: data.scored });
      else if (data.type === "failed") drop();
    };
    return worker;
  }

  return {
    /** @param {Extract<Event, { type: "assist" }>} asked */
    assist(asked) {
      workers ??= start();
      const about = { ...asked, id: 0, base: document.baseURI, of: workers.length };
      for (const [part, worker] of workers.entries()) worker.postMessage({ ...about, part });
    },
    dismiss() {
      for (const worker of workers ?? []) worker.postMessage({ id: 0, type: "cancel" });
    },
    stop() {
      for (const worker of workers ?? []) worker.terminate();
      workers = [];
    },
  };
}
