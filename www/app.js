// The page: starts the engine, keeps the newest view, draws it at most once a frame. It measures nothing itself.

import { startEngine } from "./engine.js";
import { about } from "./ui/about.js";
import { cost } from "./ui/cost.js";
import { byId } from "./ui/dom.js";
import { files } from "./ui/files.js";
import { headline } from "./ui/headline.js";
import { lasting } from "./ui/lasting.js";
import { notices } from "./ui/notices.js";
import { output } from "./ui/output.js";
import { presets } from "./ui/presets.js";
import { runBar } from "./ui/run.js";
import { scorecard } from "./ui/scorecard.js";
import { settings } from "./ui/settings.js";
import { share } from "./ui/share.js";
import { speed } from "./ui/speed.js";
import { tabs } from "./ui/tabs.js";
import { theme } from "./ui/theme.js";
import { trace } from "./ui/trace.js";

/** After this long without a sign of life the person is told what is being waited for. */
const SLOW_MS = 10_000;

let engine;
let catalog;
let view;
let failure;
let loading = "";
let slow;
let sent = 0;
let frame;

const app = {
  view: () => view,
  failure: () => failure,
  sent: () => sent,
  redraw() {
    frame ??= requestAnimationFrame(draw);
  },
  send(message, transfer) {
    sent += 1;
    // A file that could not be read is forgotten with the next thing the person does.
    if (failure?.action === "dismiss") failure = undefined;
    // What is on the page answers an older question until the next view.
    byId("results").setAttribute("aria-busy", "true");
    engine.send(message, transfer);
  },
  /** A slider is under the finger: what the results show is no longer what is chosen. */
  moving() {
    byId("results").setAttribute("aria-busy", "true");
  },
  complain(text) {
    failure = { text, action: "dismiss" };
    app.redraw();
  },
  recover(action) {
    if (action === "reload") return location.reload();
    failure = undefined;
    if (action === "restart") start();
    return app.redraw();
  },
};

function start() {
  catalog = view = failure = undefined;
  loading = "Loading the engine (WebAssembly).";
  clearTimeout(slow);
  slow = setTimeout(() => {
    loading = "Still loading the engine (worker_bg.wasm); the network is slow.";
    app.redraw();
  }, SLOW_MS);
  engine = startEngine({
    catalog(event) {
      clearTimeout(slow);
      catalog = event;
      loading = "The engine is ready; choosing a model.";
      app.redraw();
    },
    view(event) {
      view = event;
      byId("results").removeAttribute("aria-busy");
      app.redraw();
    },
    failed(event) {
      clearTimeout(slow);
      catalog = view = undefined;
      failure = event;
      loading = "The engine is not running.";
      app.redraw();
    },
  });
}

theme();
tabs();
files(app);
const last = lasting();
const panels = [settings(app), presets(app), runBar(app), notices(app), share(app), headline(), output(), trace(), scorecard(), speed(), cost(), about()];

function draw() {
  frame = undefined;
  // A view means something only together with what can be chosen.
  const shown = last(catalog && view);
  for (const panel of panels) panel(shown, catalog, loading);
}

// Followed as a link this would change the fragment, which holds the settings.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});

start();
draw();
