// Keeps the page for use without a network, and offers a newer build when one is there. See sw.js.

import { byId, el } from "./dom.js";

/** After this long the page is loaded again even if the newer worker has not taken over. */
const PATIENCE_MS = 5000;

export function offline() {
  // A page that may not keep anything works as long as it is online.
  const workers = navigator.serviceWorker;
  if (!workers) return;
  const isKept = Boolean(workers.controller);
  // A newer build takes over every open tab at once, so that none is left between two.
  workers.addEventListener("controllerchange", () => {
    if (isKept) location.reload();
  });
  workers.register(new URL("sw.js", document.baseURI)).then(
    (registration) => {
      const look = () => {
        if (registration?.waiting && workers.controller) offer(registration.waiting);
      };
      look();
      registration?.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
    },
    () => {},
  );
}

function offer(waiting) {
  const button = el("button", { type: "button" }, "Reload with it");
  button.addEventListener("click", () => {
    waiting.postMessage({ type: "take over" });
    // The older worker stays as long as an answer of it is on its way to this page, which a reload ends.
    setTimeout(() => location.reload(), PATIENCE_MS);
  });
  byId("newer").replaceChildren(el("p", { class: "notice" }, "A newer version of this page is ready. ", button));
}
