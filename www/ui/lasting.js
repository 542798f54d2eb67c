// Until a part of a run is there, the figure of the last complete run stands in its place and says that it is an old one.

/** The parts of a run that are held, and whether a run has them yet. */
export const HELD = {
  quality: (run) => run.quality?.length > 0,
  speed: (run) => Boolean(run.speed),
  cost: (run) => Boolean(run.cost),
  trace: (run) => Boolean(run.trace) || run.finished,
  words: (run) => Boolean(run.words) || run.finished,
  states: (run) => Boolean(run.states) || run.finished,
  items: (run) => Boolean(run.items) || run.finished,
  compressed: (run) => run.compressed?.tokens > 0,
  baseline: (run) => run.baseline?.tokens > 0,
};

/**
 * Returns lasting(view): the view, whose `run` has its missing parts from the last complete run of the same model, with
 * `run.was` naming those parts. Nothing is held over another model or an engine that broke.
 */
export function lasting() {
  let last;
  return (view) => {
    if (!view) {
      last = undefined;
      return view;
    }
    const { run } = view;
    if (last && last.model !== view.settings.model) last = undefined;
    if (run?.finished) last = { model: view.settings.model, run };
    if (!last || last.run === run) return view;
    const was = Object.keys(HELD).filter((part) => !(run && HELD[part](run)));
    const held = Object.fromEntries(was.map((part) => [part, last.run[part]]));
    const disturbed = (was.includes("speed") ? last.run : run).disturbed;
    return { ...view, run: { ...run, ...held, was, disturbed } };
  };
}

/** Dims a section whose figures belong to other settings than the ones chosen, in a way that is also read out. */
export function mark(section, was) {
  if (section.classList.contains("was") === was) return;
  section.classList.toggle("was", was);
  section.setAttribute("aria-busy", String(was));
}
