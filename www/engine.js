// The engine as the page sees it: a dedicated worker that is told what a person did and answers with views.

/** What this page speaks; src/session/protocol.rs holds the same number. */
const PROTOCOL = 1;

/**
 * Starts a worker and greets it. `hear` has catalog(catalog), view(view) and failed(failure), the last at most once.
 * A failure is { text, action }, where action is "restart" or "reload".
 */
export function startEngine(hear) {
  let worker;
  let ready = false;
  let over = false;

  const fail = (text, action = "restart") => {
    if (over) return;
    over = true;
    worker?.terminate();
    hear.failed({ text, action });
  };
  const broke = (detail) =>
    fail(
      ready
        ? `The engine stopped working (${detail}). Its run was dropped. Restart it to go on with the same settings.`
        : `The engine could not be started (${detail}). Check the connection and try again. If you host this page: ` +
            "worker-start.js, worker.js and worker_bg.wasm must lie beside index.html, with wasm served as application/wasm.",
    );

  const heard = (event) => {
    if (over) return;
    if (event?.type === "failed") return broke(event.text);
    if (event?.type === "view") return hear.view(event);
    if (event?.type !== "catalog") return undefined;
    if (event.version !== PROTOCOL) {
      return fail(
        `This page and its engine are of different versions (protocol ${PROTOCOL} and ${event.version}), so they were not ` +
          "connected. Reload the page; if this message stays, empty the browser's cache of this site.",
        "reload",
      );
    }
    ready = true;
    return hear.catalog(event);
  };

  try {
    worker = new Worker(new URL("worker-start.js", document.baseURI), { type: "module" });
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
  const send = (message, transfer = []) => {
    if (!over) worker?.postMessage(message, transfer);
  };
  send({ type: "hello", fragment: location.hash, base: document.baseURI });
  return { send };
}
