// Numbers as text: as many digits as their interval supports.

const MINUS = "−";

export function signed(text) {
  return text.replace("-", MINUS);
}

// A fraction in percent; the half width of its interval decides the digits.
export function percent(value, interval = null) {
  if (value === null || value === undefined) return "–";
  const half = interval ? (interval[1] - interval[0]) / 2 : 0;
  return signed((100 * value).toFixed(half >= 0.05 ? 0 : 1));
}

export function plusMinus(interval) {
  if (!interval) return "";
  const half = (interval[1] - interval[0]) / 2;
  return `± ${(100 * half).toFixed(half >= 0.05 ? 0 : 1)}`;
}

export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : signed(value.toFixed(digits));
}

// A value and the ends of its interval, in as many digits as the interval supports; very large ones as powers of ten.
export function estimate(value, interval) {
  const [low, high] = interval ?? [null, null];
  const half = low === null || high === null ? 0 : (high - low) / 2;
  const digits = half > 0 ? Math.min(4, Math.max(0, 1 - Math.floor(Math.log10(half)))) : 2;
  const text = (one) => one === null ? null : signed(Math.abs(one) >= 1e6 ? one.toExponential(1) : one.toFixed(digits));
  return [text(value), ...(half > 0 ? [text(low), text(high)] : [null, null])];
}

// A difference shows its sign, also when it is positive.
export function difference(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(100 * value).toFixed(digits);
  return Number(text) === 0 ? text : `${value > 0 ? "+" : MINUS}${text}`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

export function clock(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// A moment as a date, or as the time if it was today.
export function day(iso) {
  const today = new Date().toDateString() === new Date(iso).toDateString();
  return today ? `today ${clock(iso)}` : date(iso);
}

// A moment as a date that stays true on paper.
export function date(iso) {
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? "" : moment.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
}

export function bytes(size) {
  const [unit, scale] = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, least]) => size >= least) ?? ["B", 1];
  return `${scale === 1 ? size : (size / scale).toFixed(1)} ${unit}`;
}

// A large count in three digits at most: 151 M, 7.2 B.
export function short(value) {
  if (value === null || value === undefined) return "–";
  const [unit, scale] = [["B", 1e9], ["M", 1e6], ["k", 1e3]].find(([, least]) => value >= 0.9995 * least) ?? ["", 1];
  const scaled = value / scale;
  return `${scale === 1 || scaled >= 99.5 ? Math.round(scaled) : Number(scaled.toPrecision(2))}${unit && ` ${unit}`}`;
}

// A stretch of time that was estimated.
export function duration(seconds) {
  const [unit, scale] = [["h", 5400, 3600], ["min", 90, 60]].filter(([, least]) => seconds >= least).map(([name, , size]) => [name, size])[0] ?? ["s", 1];
  return `${Math.max(1, Math.round(seconds / scale))} ${unit}`;
}
