// What else could be had for the same bytes or FLOPs, measured on a click: the answer to "prune or quantise?".

import { megabytes, percent } from "../format.js";
import { asked, cell, row, table } from "./dom.js";
import { figures, setting } from "./figures.js";

/** @import { Peer, PeersView, PointCost } from "../protocol.js" */

const WORDS =
  "Pruned weights against 2:4, int8, int4 and fewer channels, kept tokens against the other methods at the same lengths. Each peer is made, scored on the same items and timed, which takes a while.";
const CAPTION =
  "Change: peer minus this run, paired, with its 95% interval. Speeds: multiples of this run's, in turns. Bytes of weights that a decoded token reads and FLOPs of reading are counted.";

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function peers(app) {
  const show = asked(app, "peers", { words: WORDS, label: "Measure peers", ask: () => ({ type: "peers" }), make: outcome });
  return (view) => {
    const found = app.found("peers");
    const dense = view?.settings.reduce === "off" && view.settings.prune === "off";
    // Peers of other settings are nobody's here.
    show(view, found?.fragment === view?.fragment ? found : undefined, dense ? "Nothing is compressed." : "");
  };
}

/** @param {PeersView} view */
function outcome({ found: { cost, peers } }) {
  /** @param {PointCost} cost */
  const reads = ({ bytes_per_token: bytes, flops_share: flops }) => cell(megabytes(bytes), `${percent(flops)} of the FLOPs`);
  /** @param {Peer} peer */
  const line = (peer) =>
    row(peer.label, setting(peer), reads(peer.cost), ...figures(/** @type {any} */ ({ quality: peer.quality, speed: peer })).map((f) => cell(...f)));
  if (peers.length === 0) return [];
  return [table("Peers", CAPTION, ["Peer", "Reads", "Quality", "Change", "Prefill", "Decode"], [row("This run", "", reads(cost)), ...peers.map(line)])];
}
