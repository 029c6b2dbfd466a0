// The layer panel: λ(ℓ) as points that can be dragged, what it meets at each depth, and the cosines of the task vectors.

import { createChart } from "./chart.js";
import { COSINES, LAYERS } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { number } from "./format.js";
import { createHandle } from "./handle.js";
import { replaced } from "./store.js";

const WEIGHTS = "weights only, no data";

export function createLayersPanel(theme, store) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const layer = h("div", { class: "handles" });
  const tools = createChartTools(LAYERS, theme);
  const matrixTools = createChartTools(COSINES, theme);
  const matrix = h("div", {});
  const readout = h("div", { class: "readout" }, h("div", { class: "titled" }, h("h3", {}, "Cosines of task vectors"), matrixTools.element), matrix);
  const stage = h("span", { class: "stage" }, WEIGHTS);
  const element = h("section", { class: "panel layers", "aria-label": "Layers" },
    h("header", {}, h("h2", {}, "Layers"), stage, tools.element),
    h("div", { class: "body" }, h("div", { class: "plot-box" }, plot, layer), readout));
  let numbers = null;
  let handles = [];
  const chart = createChart(plot, theme, { onDrawn: place });

  function points() {
    return numbers?.scaling?.draggable ? numbers.scaling.points : [];
  }

  function rebuild() {
    const wanted = points();
    if (handles.length === wanted.length) return;
    handles.forEach((handle) => handle.remove());
    handles = wanted.map((_, i) => createHandle(layer, {
      label: `factor at block ${i}`, kind: "point", step: 0.01,
      onMove: ({ y, value }) => move(i, value ?? chart.value("yaxis", y)),
      onEnd: () => store.endGesture(),
    }));
  }

  // The ends of a LiNeS profile move α and β; any other point makes the profile a free curve.
  function move(i, value) {
    const next = Math.round(100 * Math.min(5, Math.max(-1, value))) / 100;
    const state = store.get();
    const scaling = state.recipe.layer_scaling ?? { kind: "constant" };
    const last = points().length - 1;
    let made;
    if (scaling.kind === "lines" && typeof scaling.alpha === "number" && i === 0 && last > 0) {
      made = { ...scaling, alpha: next, beta: round(scaling.alpha + scaling.beta - next) };
    } else if (scaling.kind === "lines" && typeof scaling.alpha === "number" && i === last) {
      made = { ...scaling, beta: round(next - scaling.alpha) };
    } else {
      const values = scaling.kind === "curve" && scaling.points.length === last + 1 ? scaling.points : points().map((point) => point.value);
      made = { kind: "curve", points: values.map((old, k) => (k === i ? next : round(old))), outside: scaling.outside ?? "alpha", applies_to: scaling.applies_to ?? "merged" };
    }
    numbers = { ...numbers, scaling: { ...numbers.scaling, points: points().map((point, k) => (k === i ? { ...point, value: next } : point)) } };
    place();
    store.commit(replaced(state, ["recipe", "layer_scaling"], made), { group: `layer-${i}` });
  }

  function place() {
    rebuild();
    points().forEach((point, i) => handles[i].place({
      x: chart.pixel("xaxis", point.index), y: chart.pixel("yaxis", point.value), value: point.value, range: [-1, 5], text: number(point.value),
    }));
  }

  function show(figures, next, hash) {
    numbers = next;
    element.classList.toggle("empty", next === null);
    stage.textContent = next === null ? "layers are compared with a base, and there is none" : WEIGHTS;
    if (next === null) return place();
    const words = stage.textContent;
    fill(matrix, cosines(numbers));
    readout.firstChild.hidden = !compared(numbers);
    tools.show({ figure: figures.layers, numbers, hash, words });
    if (compared(numbers)) matrixTools.show({ figure: figures.cosines, numbers, hash, words });
    return chart.draw(figures.layers);
  }

  return { element, show };
}

function round(value) {
  return Math.round(1e4 * value) / 1e4;
}

function compared({ cosines: matrix }) {
  return matrix && matrix.length > 1;
}

function cosines(numbers) {
  const { cosines: matrix, experts } = numbers;
  if (!compared(numbers)) return [h("p", { class: "hint" }, "One task vector: nothing to compare.")];
  const strongest = Math.max(1e-9, ...matrix.flatMap((row, i) => row.filter((_, j) => j !== i).map(Math.abs)));
  const dot = (expert) => h("i", { class: "mark dot", style: { "--tone": `var(--expert-${expert.colour % 8})` }, title: expert.title });
  return [
    h("table", { class: "cosines" },
      h("caption", { class: "sr-only" }, "Cosine similarity between the task vectors of the experts"),
      h("thead", {}, h("tr", {}, h("td", {}), experts.map((expert) => h("th", { scope: "col", "aria-label": expert.title }, dot(expert))))),
      h("tbody", {}, matrix.map((row, i) => h("tr", {}, h("th", { scope: "row", "aria-label": experts[i].title }, dot(experts[i])),
        row.map((value, j) => j > i ? h("td", {}) : h("td", {
          class: i === j ? "self" : "", title: `${experts[i].title} · ${experts[j].title}: ${number(value, 4)}`,
          style: i === j ? {} : { "--strength": `${Math.round((60 * Math.abs(value)) / strongest)}%` },
        }, i === j ? "1" : number(value, 2).replace("0.", "."))))))),
  ];
}
