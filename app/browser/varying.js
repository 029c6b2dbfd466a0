// A number as a recipe holds it: one number, a list over depth, or a list of cases { filter, value } of which the first whose
// filter stands in a leaf's name decides.

import { signed } from "./format.js";

const SHOWN = 40;

export function varies(value) {
  return Array.isArray(value);
}

export function byName(value) {
  return varies(value) && value.some((item) => typeof item === "object");
}

// Its cases: [{ filter, points }], the one that takes every leaf last and with an empty filter.
export function casesOf(value) {
  if (!byName(value)) return [{ filter: "", points: pointsOf(value) }];
  return value.map((item) => ({ filter: item.filter === "*" ? "" : item.filter ?? "", points: pointsOf(item.value) }));
}

// The shortest form of cases; those without a filter that are not the last say nothing.
export function madeOf(cases) {
  const plain = ({ points }) => (points.length === 1 ? points[0] : points);
  const named = cases.filter(({ filter }, i) => filter !== "" || i === cases.length - 1);
  if (named.length === 1 && named[0].filter === "") return plain(named[0]);
  return named.map((one) => (one.filter === "" ? { value: plain(one) } : { filter: one.filter, value: plain(one) }));
}

// In words, as the server writes them: “0.7 in attn, else 0 … 1”.
export function told(value) {
  return casesOf(value).map(({ filter, points }, i) => {
    const texts = points.map((point) => signed(String(Number(point.toPrecision(6)))));
    const shown = (texts.length > 5 ? [...texts.slice(0, 2), `(${texts.length - 3} more)`, texts.at(-1)] : texts).join(" … ");
    const part = filter.length > SHOWN ? `${filter.slice(0, SHOWN)}…` : filter;
    return part ? `${shown} in ${part}` : i > 0 ? `else ${shown}` : shown;
  }).join(", ");
}

// How many leaves each case takes: the first that fits a leaf takes it.
export function counted(cases, names) {
  const counts = cases.map(() => 0);
  for (const name of names) {
    const at = cases.findIndex(({ filter }) => name.includes(filter));
    if (at >= 0) counts[at] += 1;
  }
  return counts;
}

// Points over depth at a position from 0 to 1; straight lines between.
export function along(points, position) {
  const place = position * (points.length - 1);
  const below = Math.min(Math.floor(place), points.length - 1);
  const above = Math.min(below + 1, points.length - 1);
  return points[below] + (points[above] - points[below]) * (place - below);
}

// The same line through another number of points, as near as they allow.
export function resampled(points, many, digits = 4) {
  return Array.from({ length: many }, (_, i) => Number(along(points, many === 1 ? 0.5 : i / (many - 1)).toFixed(digits)));
}

// Numbers that somebody typed, separated by commas or spaces; null where one is none, or lies outside [low, high].
export function typed(text, [low, high], openBelow = false) {
  const points = text.replaceAll("−", "-").split(/[\s,;…]+/).filter((part) => part !== "").map(Number);
  const fits = (point) => Number.isFinite(point) && point >= (low ?? -Infinity) && point <= (high ?? Infinity) && !(openBelow && point === low);
  return points.length > 0 && points.length <= 256 && points.every(fits) ? points : null;
}

function pointsOf(value) {
  return varies(value) ? value : [value];
}
