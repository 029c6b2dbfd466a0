// The marks of a figure beside their names; colours are the theme's, so that they follow it.

import { h } from "./dom.js";

const MAPS = ["heatmap", "contour", "surface"];
const DASHES = { dash: "dashed", longdash: "dashed", dashdot: "dashed", dot: "dotted" };
const SHAPES = {
  circle: "M4.5 0A4.5 4.5 0 1 1-4.5 0A4.5 4.5 0 1 1 4.5 0Z", square: "M-4-4H4V4H-4Z", diamond: "M0-5.2L5.2 0L0 5.2L-5.2 0Z",
  "triangle-up": "M0-5L5 4H-5Z", "triangle-down": "M0 5L5-4H-5Z", cross: "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
  x: "M-4.6-2.6L-2.6-4.6L0-2L2.6-4.6L4.6-2.6L2 0L4.6 2.6L2.6 4.6L0 2L-2.6 4.6L-4.6 2.6L-2 0Z",
};

export function legendOf({ data }) {
  const named = data.filter((trace) => trace.name && trace.showlegend !== false && trace.visible !== false && !MAPS.includes(trace.type));
  const unique = [...new Map(named.map((trace) => [trace.name, trace])).values()].sort((a, b) => (a.legendrank ?? 1000) - (b.legendrank ?? 1000));
  return unique.length < 2 ? [] : unique.map((trace) => h("span", {}, markOf(trace), trace.name));
}

function markOf({ type, mode = "lines", fill, fillcolor, line, marker }) {
  if (fill && fill !== "none") return h("i", { class: "mark area", style: { "--tone": tone(fillcolor) } });
  if (type === "bar") return h("i", { class: "mark area", style: { "--tone": tone(marker?.color) } });
  if (mode.includes("lines") && (line?.width ?? 2) > 0) return h("i", { class: "mark stroke", style: { "--tone": tone(line?.color), "--thick": `${Math.max(1.5, line?.width ?? 2)}px`, "--dash": DASHES[line?.dash] ?? "solid" } });
  return symbol(marker ?? {});
}

function symbol({ symbol: name, color, line }) {
  const [shape, open] = [String(first(name) ?? "circle").replace("-open", ""), String(first(name)).endsWith("-open")];
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ width: 13, height: 13, viewBox: "-6.5 -6.5 13 13" })) made.setAttribute(key, value);
  path.setAttribute("d", SHAPES[shape] ?? SHAPES.circle);
  path.style.fill = open ? "none" : tone(color);
  path.style.stroke = open ? tone(color) : tone(first(line?.color) ?? color);
  path.style.strokeWidth = open || line?.width ? "1.5px" : "0";
  made.append(path);
  return made;
}

const first = (value) => (Array.isArray(value) ? value[0] : value);

function tone(value) {
  return String(first(value) ?? "role:ink").replace(/role:([a-z0-9-]+)/g, "var(--$1)");
}
