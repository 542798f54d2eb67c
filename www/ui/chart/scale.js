// From values to pixels, and the round numbers that an axis names.

/** A linear scale: scale(value) is a pixel. @param {number[]} domain @param {number[]} range */
export function linear([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

/** At most `most` round numbers that lie in the range. */
export function ticks(low, high, most = 6) {
  const rough = (high - low) / most;
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5].map((f) => f * power).find((s) => s >= rough * 0.999) ?? 10 * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The range of the values with a margin, so that no mark sits on the frame; around a single value half of it to each side. */
export function padded(values, share = 0.07) {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const margin = high > low ? (high - low) * share : (Math.abs(high) || 1) / 2;
  return [low - margin, high + margin];
}
