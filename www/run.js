// A run as it is told: piece by piece, each piece once. Put together they are what the panels draw.

/** @import { Part, Side } from "./protocol.js" */
/** @import { RunView } from "./state.js" */

/** @returns {RunView} */
export function newRun(number) {
  return {
    number,
    finished: false,
    backend: "",
    baseline: newSide(),
    compressed: newSide(),
    quality: [],
    controls: [],
    published: null,
    speed: null,
    cost: null,
    trace: null,
    words: null,
    states: null,
    items: null,
    first_number_ms: null,
  };
}

/** @returns {Side} */
const newSide = () => ({ text: "", tokens: 0, differs_at: null, done: false });

/**
 * Adds a piece to a run.
 * @param {RunView} run
 * @param {Part} part
 */
export function take(run, part) {
  switch (part.kind) {
    case "begin":
      run.backend = part.backend;
      break;
    case "text": {
      const kept = Array.from(run[part.side].text).slice(0, part.at).join("");
      run[part.side] = { text: kept + part.text, tokens: part.tokens, differs_at: part.differs_at, done: part.done };
      run.baseline.differs_at = part.differs_at;
      break;
    }
    case "first_number":
      run.first_number_ms = part.ms;
      break;
    case "cost":
      run.cost = part.cost;
      break;
    case "quality":
      run.quality = part.quality;
      break;
    case "speed":
      run.speed = part.speed;
      break;
    case "trace":
      run.trace = part.trace;
      break;
    case "published":
      run.published = part.published;
      break;
    case "words":
      run.words = part.words;
      break;
    case "states":
      run.states = part.states;
      break;
    case "items":
      run.items = part.items;
      break;
    case "control":
      run.controls = [...run.controls, part.control];
      break;
    case "done":
      run.finished = true;
      break;
    default:
      unknown(part);
  }
}

/** @param {never} part A kind without a case above is an error of the type check. */
function unknown(part) {
  throw new Error(`A part of a run is of no known kind: ${JSON.stringify(part)}`);
}
