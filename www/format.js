// Numbers as text. The only place where a share becomes a percentage.

const LOCALE = "en";
const formats = new Map();

function format(options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(LOCALE, options));
  return formats.get(key);
}

const NOTHING = "–";
const known = (x) => typeof x === "number" && Number.isFinite(x);

export const count = (x) => (known(x) ? format({ maximumFractionDigits: 0 }).format(x) : NOTHING);

/** 919440 -> "919 K". */
export const compact = (x) => (known(x) ? format({ notation: "compact", maximumSignificantDigits: 3 }).format(x) : NOTHING);

export const megabytes = (bytes) => (known(bytes) ? `${format({ maximumFractionDigits: bytes < 1e6 ? 2 : 1 }).format(bytes / 1e6)} MB` : NOTHING);

/** 0.613 -> "61.3%". */
export const percent = (share, digits = 1) => (known(share) ? fixed(share, { style: "percent" }, digits) : NOTHING);

/** Milliseconds or tokens a second: three figures are as many as a timing carries. */
export const timing = (x) => (known(x) ? format({ maximumSignificantDigits: 3 }).format(x) : NOTHING);

/** What a method scores a token by; only the order counts. */
export const score = timing;

/** Nats, with their sign where they are a change or a log-likelihood. */
export const nats = (x) => (known(x) ? fixed(x, { signDisplay: "exceptZero" }, 2) : NOTHING);

/** e^-cost as a percentage; two figures where it is small. */
export const probability = (cost) => (known(cost) ? format({ style: "percent", maximumSignificantDigits: 2 }).format(Math.exp(-cost)) : NOTHING);

/** 1.234 -> "1.23×". */
export const ratio = (x) => (known(x) ? `${fixed(x, {}, 2)}×` : NOTHING);

/** A small relative error; two figures. */
export const error = (x) => (known(x) ? format({ maximumSignificantDigits: 2 }).format(x) : NOTHING);

/** A metric's value, and its change, with as many decimals as `like` (the baseline's value) deserves. */
export function metric(x, unit, like) {
  return known(x) ? (unit === "share" ? percent(x) : fixed(x, {}, decimals(like))) : NOTHING;
}

/** A change of shares is in percentage points. */
export const change = (x, unit, like) => signed(x, unit, like) + (unit === "share" && known(x) ? " pt" : "");

/** "0.1 to 0.2", or that there is no interval: too few items have none, and none is not the interval [0, 0]. */
const interval = (low, high, between) => (known(low) && known(high) ? between() : "no interval");

export const metricInterval = ({ low, high }, unit, like) => interval(low, high, () => `${metric(low, unit, like)} to ${metric(high, unit, like)}`);
export const changeInterval = ({ low, high }, unit, like) => interval(low, high, () => changeRange(low, high, unit, like));
/** Of any estimate, its ends written by `write`. */
export const writtenInterval = ({ low, high }, write) => interval(low, high, () => `${write(low)} to ${write(high)}`);

const changeRange = (low, high, unit, like) => `${signed(low, unit, like)} to ${change(high, unit, like)}`;

function signed(x, unit, like) {
  if (!known(x)) return NOTHING;
  const sign = { signDisplay: "exceptZero" };
  return unit === "share" ? fixed(x * 100, sign, 1) : fixed(x, sign, decimals(like));
}

function fixed(x, options, digits) {
  // Intl writes a hyphen; a minus sign is as wide as a plus.
  const all = { ...options, minimumFractionDigits: digits, maximumFractionDigits: digits };
  return format(all).format(x).replace("-", "−");
}

/** Four significant figures. */
function decimals(x) {
  if (!known(x) || x === 0) return 2;
  return Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(x)))));
}
