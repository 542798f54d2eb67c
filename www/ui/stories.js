// Stories: one claim each, as a link that sets the page up for it, with what to move and what one will see.

import { json } from "../data.js";
import { byId, el, part } from "./dom.js";

/** @typedef {{ id: string, title: string, claim: string, move: string, see: string, link: string }} Story */

/** @param {import("../state.js").App} app @returns {import("../state.js").Panel} */
export function stories(app) {
  const dialog = byId("stories");
  /** @type {Story[]} */
  let list = [];
  /** @type {Story | undefined} */
  let told;
  /** The settings that the story rests on, and does not ask to move. */
  let base;
  let loaded = false;
  json("stories.json").then((found) => {
    list = Array.isArray(found) ? found : [];
    byId("stories-open").disabled = list.length === 0;
    told = location.hash ? list.find(({ link }) => link === location.hash) : list[0];
    byId("stories-list").replaceChildren(...list.map(card));
    loaded = true;
    app.redraw();
  });
  byId("story").hidden = location.hash !== "";
  byId("stories-open").addEventListener("click", () => dialog.showModal());

  function card(story) {
    const open = el(
      "a",
      { href: location.pathname + location.search + story.link, class: "button" },
      "Open this story",
      el("span", { class: "unseen" }, `: ${story.title}`),
    );
    // The link works as any link does, in another tab too; here the page follows it by itself.
    open.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      dialog.close();
      tell(story);
    });
    return el(
      "li",
      {},
      el("h3", {}, story.title),
      el("p", {}, story.claim),
      el("p", { class: "note" }, el("b", {}, "Move: "), story.move),
      el("p", { class: "note" }, el("b", {}, "See: "), story.see),
      open,
    );
  }

  const draw = part(byId("story"), (story) => {
    byId("story").hidden = !story;
    if (!story) return [];
    const at = list.findIndex(({ id }) => id === story.id);
    const next = list[(at + 1) % list.length];
    return [
      el("p", {}, el("b", {}, `${story.title}. `), story.claim, " ", el("b", {}, "Move: "), story.move, " ", el("b", {}, "See: "), story.see),
      el(
        "div",
        { class: "row" },
        act("Next story", () => tell(next)),
        act("Close story", () => tell(undefined)),
      ),
    ];
  });

  function tell(story) {
    told = story;
    base = undefined;
    if (story) app.send({ type: "link", fragment: story.link });
    app.redraw();
  }

  return (view) => {
    // A story is over when another model is on, or another method where it moves none: its claim stands above no other figures.
    if (told && view && view.answers >= app.sent()) {
      const now = restsOn(told, view.settings);
      base ??= now;
      if (base !== now) told = undefined;
    }
    // Until the stories are loaded the first one's place is kept, so that nothing moves when it comes.
    if (loaded) draw(told);
  };
}

/** How the stories name the menus of methods. */
const MENUS = { reduce: "Token reduction method", prune: "Sparsity method" };

const restsOn = ({ move }, settings) => {
  const fixed = Object.keys(MENUS).filter((kind) => !move.includes(MENUS[kind]));
  return ["model", ...fixed].map((name) => settings[name]).join(" ");
};

function act(label, does) {
  const button = el("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", does);
  return button;
}
