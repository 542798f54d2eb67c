// Which tokens of the prompt stayed, went, or were folded into which: a table, a row a token, a column a layer.

import { byId, el, part, table } from "./dom.js";

/** The fate in a sign, and in words for who cannot see it or hovers over it. */
const signs = {
  kept: () => ["●", "kept"],
  pruned: () => ["✕", "pruned"],
  merged: (f) => [`⤷ ${f.into}`, `folded into ${f.into}${f.hidden ? "" : ", in the stream only"}${f.residual ? "" : ", in the layer only"}`],
  gone: () => ["", "gone before"],
};

export function trace() {
  const body = el("div");
  const section = el("section", { "aria-labelledby": "trace-title", hidden: true },
    el("h2", { id: "trace-title" }, "Tokens of the prompt ", el("span", { class: "tag" }, "layer by layer")), body);
  byId("cost").closest("section").after(section);
  // Folded or not is the person's choice and outlives a redraw.
  let open = false;
  const draw = part(body, (found) => {
    section.hidden = !found;
    if (!found) return [];
    const caption = `● kept, ✕ pruned, ⤷ n folded into position n.${found.left_out ? ` The first ${found.left_out} tokens are left out.` : ""}`;
    const columns = ["Position", "Token", ...found.layers.map((layer) => `After layer ${layer}`)];
    const details = el("details", { open },
      el("summary", {}, `Per token (${found.tokens.length})`),
      table("Fate of each token of the prompt", caption, columns, found.tokens.map(line), { class: "small" }));
    details.addEventListener("toggle", () => { open = details.open; });
    return [details];
  });
  return (view) => draw(view?.run?.trace ?? undefined);
}

function line(token) {
  const fate = (f) => {
    const [sign, words] = signs[f.fate](f);
    const said = el("span", { class: "unseen" }, words);
    return el("td", { role: "cell", title: words }, el("span", { "aria-hidden": "true" }, sign), said);
  };
  // Spaces and line ends are tokens too.
  const word = el("td", { role: "cell" }, el("code", {}, JSON.stringify(token.text)));
  return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, String(token.position)), word, ...token.fates.map(fate));
}
