// The page: starts the engine, keeps the newest view and its run, draws them at most once a frame. It measures nothing itself.

/** @import { App, Catalog, Engine, Failure, Panel, RunView, Shown, View } from "./state.js" */

import { startEngine } from "./engine.js";
import { ofRun, points } from "./points.js";
import { newRun, take } from "./run.js";
import { about } from "./ui/about.js";
import { cost } from "./ui/cost.js";
import { byId } from "./ui/dom.js";
import { embed } from "./ui/embed.js";
import { files } from "./ui/files.js";
import { history as kept } from "./ui/history.js";
import { headline } from "./ui/headline.js";
import { keys } from "./ui/keys.js";
import { lasting } from "./ui/lasting.js";
import { notices } from "./ui/notices.js";
import { offline } from "./ui/offline.js";
import { output } from "./ui/output.js";
import { presets } from "./ui/presets.js";
import { runBar } from "./ui/run.js";
import { scorecard } from "./ui/scorecard.js";
import { settings } from "./ui/settings.js";
import { share } from "./ui/share.js";
import { speed } from "./ui/speed.js";
import { stories } from "./ui/stories.js";
import { tabs } from "./ui/tabs.js";
import { theme } from "./ui/theme.js";
import { trace } from "./ui/trace.js";
import { tradeoff } from "./ui/tradeoff.js";

/** What the page shows where the address names nothing: the first of its stories. */
const OPENING = "#v=1&m=lm-mamba&tr=off&sp=structured";
/** After this long without a sign of life the person is told what is being waited for. */
const SLOW_MS = 10_000;

/** @type {Engine} */
let engine;
/** @type {Catalog | undefined} */
let catalog;
/** @type {View | undefined} */
let view;
/** The run whose parts are coming in. @type {RunView | undefined} */
let run;
/** @type {Shown | undefined} */
let shown;
/** @type {Failure | undefined} */
let failure;
let loading = "";
let slow;
/** Rises for as long as the page lives, over restarts of the engine too: controls remember the number of their change. */
let sent = 0;
let frame;

/** @type {App} */
const app = {
  points: points(() => app.redraw()),
  view: () => shown,
  failure: () => failure,
  sent: () => sent,
  redraw() {
    shown = view && { ...view, run: run?.number === view.run ? run : undefined };
    frame ??= requestAnimationFrame(draw);
  },
  send(request, transfer) {
    sent += 1;
    // A file that could not be read is forgotten with the next thing the person does.
    if (failure?.action === "dismiss") failure = undefined;
    // What is on the page answers an older question until a view knows of this one.
    byId("results").setAttribute("aria-busy", "true");
    engine.send({ id: sent, ...request }, transfer);
    return sent;
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
  catalog = view = run = failure = undefined;
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
      if (view.answers >= sent) byId("results").removeAttribute("aria-busy");
      app.redraw();
    },
    status(status) {
      if (view) view = { ...view, status };
      app.redraw();
    },
    result(number, part) {
      if (run?.number !== number) run = newRun(number);
      take(run, part);
      if (part.kind === "done") keep();
      app.redraw();
    },
    failed(event) {
      clearTimeout(slow);
      catalog = view = run = undefined;
      failure = event;
      loading = "The engine is not running.";
      app.redraw();
    },
  });
  app.send({ type: "hello", fragment: location.hash || OPENING, base: document.baseURI });
}

/** A finished run becomes a point and a line of the history. */
function keep() {
  if (!view || !run?.quality.length) return;
  const point = ofRun({ ...view, run });
  const texts = { baseline: run.baseline.text, compressed: run.compressed.text };
  runs.keep({ id: point.key, name: "", at: point.created, point, texts });
}

theme();
tabs();
keys();
offline();
const runs = kept(app);
const held = lasting();
/** @type {Panel[]} */
const panels = [embed(app), files(app), stories(app), settings(app), presets(app), runBar(app), notices(app), share(app), headline(), output(), tradeoff(app), trace(), scorecard(), speed(), cost(), about()];

function draw() {
  frame = undefined;
  // A view means something only together with what can be chosen.
  const drawn = held(catalog && shown);
  for (const panel of panels) panel(drawn, /** @type {Catalog} */ (catalog), loading);
}

// Followed as a link this would change the fragment, which holds the settings.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});

start();
draw();
