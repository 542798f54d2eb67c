// Files that lie beside the page: presets, stories, the reference sweep. The only place of the page that loads anything.

/** The parsed JSON of `path` beside index.html; undefined where it is missing or broken, which costs a feature and no more. */
export async function json(path) {
  const text = await load(path);
  return text === undefined ? undefined : parsed(text);
}

/** One value a line (JSON lines); lines that cannot be read are left out. */
export async function jsonLines(path) {
  const text = (await load(path)) ?? "";
  return text
    .split("\n")
    .filter((line) => line.trim())
    .map(parsed)
    .filter((value) => value !== undefined);
}

async function load(path) {
  try {
    const answer = await fetch(new URL(path, document.baseURI));
    return answer.ok ? await answer.text() : undefined;
  } catch {
    return undefined;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
