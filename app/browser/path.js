// The path panel: loss and accuracy along λ or between two checkpoints, with the barrier in words and a λ that can be dragged.

import { createChart } from "./chart.js";
import { PATH } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { familyNamed } from "./families.js";
import { count, difference, number, signed } from "./format.js";
import { createHandle } from "./handle.js";
import { replaced } from "./store.js";

export function createPathPanel(description, theme, store) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const layer = h("div", { class: "handles" });
  const readout = h("div", { class: "readout" });
  const ends = h("div", { class: "ends" });
  const stage = h("span", { class: "stage" });
  const tools = createChartTools(PATH, theme);
  const kind = createChoice({ title: "path", choices: [{ value: "lambda", title: "along λ" }, { value: "between", title: "between two checkpoints" }], onInput: choose });
  const element = h("section", { class: "panel path", "aria-label": "Path" },
    h("header", {}, h("h2", {}, "Path"), kind.row, ends, stage, tools.element),
    h("div", { class: "body" }, h("div", { class: "plot-box" }, plot, layer), readout));
  let numbers = null;
  let family = null;
  let pickers = [];

  const handles = [["xaxis", "λ on the loss chart"], ["xaxis2", "λ on the accuracy chart"]].map(([axis, label]) => ({
    axis,
    handle: createHandle(layer, {
      label, kind: "column", step: 0.01,
      onMove: ({ x, value }) => move(value ?? chart.value(axis, x)),
      onEnd: () => store.endGesture(),
    }),
  }));
  const chart = createChart(plot, theme, { onDrawn: place });

  function move(value) {
    const [low, high] = numbers.range;
    const next = Math.round(100 * Math.min(high, Math.max(low, value))) / 100;
    store.commit(replaced(store.get(), ["recipe", "lambda"], next), { group: "path-handle" });
  }

  function choose(value) {
    const current = familyNamed(description, store.get().family);
    const [a, b] = [...current.experts.map((one) => one.ref)];
    store.commit(replaced(store.get(), ["path"], value === "lambda" ? { kind: "lambda" } : { kind: "between", a, b }));
  }

  // The handle follows the state at once; the curve follows when it is known.
  function set(state) {
    kind.set(state.path.kind);
    if (family !== state.family + state.path.kind) {
      family = state.family + state.path.kind;
      const current = familyNamed(description, state.family);
      const refs = [...(current.base ? [{ ref: current.base, title: "base" }] : []), ...current.experts];
      const choices = refs.map(({ ref, title }) => ({ value: ref, title }));
      pickers = state.path.kind === "between"
        ? ["a", "b"].map((end) => ({ end, choice: createChoice({ title: end === "a" ? "from" : "to", choices, onInput: (value) => store.commit(replaced(store.get(), ["path", end], value)) }) }))
        : [];
      fill(ends, pickers.map(({ choice }) => choice.row));
    }
    pickers.forEach(({ end, choice }) => choice.set(state.path[end]));
    place();
  }

  function place() {
    if (!numbers) return;
    const state = store.get();
    const visible = numbers.kind === "lambda" && state.path.kind === "lambda";
    const one = typeof state.recipe.lambda === "number";
    const value = one ? state.recipe.lambda : 0;
    const [low, high] = numbers.range;
    for (const { axis, handle } of handles) {
      const inside = visible && one && value >= low && value <= high;
      const vertical = chart.extent(axis.replace("x", "y"));
      handle.place({ x: inside ? chart.pixel(axis, value) : null, y: vertical ? vertical[0] : null, value, range: numbers.range, text: `λ ${number(value)}` });
      if (vertical) handle.element.style.height = `${vertical[1] - vertical[0]}px`;
    }
  }

  function show(figure, next, hash) {
    numbers = next;
    element.classList.toggle("empty", next === null);
    if (next === null) return nothing();
    const validation = numbers.splits.validation;
    const whole = validation.n === validation.of;
    const splits = `validation${numbers.splits.train ? " and train" : ""}`;
    stage.textContent = `${splits}, ${whole ? "all" : "preview of"} ${count(validation.n)}${numbers.complete ? "" : ", coarse"}`;
    stage.classList.toggle("partial", !whole || !numbers.complete);
    fill(readout, barrierWords(numbers));
    tools.show({ figure: marked(figure, numbers), numbers, hash, words: `${splits}, ${whole ? "all" : "preview of"} ${count(validation.n)} examples${numbers.complete ? "" : ", coarse"}` });
    return chart.draw(figure);
  }

  function nothing() {
    stage.textContent = "a path needs a task to measure on, and a base or two ends";
    stage.classList.remove("partial");
    for (const { handle } of handles) handle.place({ x: null, y: null, value: 0, range: [0, 1], text: "" });
  }

  return { element, set, show };
}

// In a picture a line stands where the page has its handle.
function marked(figure, { current }) {
  if (current === null || current === undefined) return figure;
  const line = { type: "line", x0: current, x1: current, y0: 0, y1: 1, line: { color: "role:merge", width: 1.4 } };
  const shapes = ["", "2"].map((axis) => ({ ...line, xref: `x${axis}`, yref: `y${axis} domain` }));
  return { ...figure, layout: { ...figure.layout, shapes } };
}

function barrierWords(numbers) {
  const { validation, train } = numbers.barrier ?? {};
  const name = numbers.kind === "lambda" ? "λ" : "t";
  const row = (term, value, title, more = "") => [h("dt", { title }, term), h("dd", {}, value, more ? h("small", {}, more) : "")];
  const rise = "B = max over t of L(t) − [(1−t)·L(0) + t·L(1)]: how far the loss rises above the straight line between the ends";
  return [
    h("div", { class: "big" },
      h("span", { class: "figure", "data-value": "barrier" }, number(validation?.loss.height, 2)),
      h("span", { class: "spread" }, validation?.loss.height > 0 ? `at ${name} ${number(validation.loss.at, 2)}` : "the loss stays below the chord"),
      h("span", { class: "what", title: rise }, "loss barrier")),
    h("dl", {},
      row("error barrier", validation ? `${signed((100 * validation.error.height).toFixed(1))} %` : "–", "the same for the error, in points"),
      row("midpoint gap", number(validation?.loss.midpoint_gap, 2), "loss at the middle minus the mean of the ends; below zero the middle beats the line"),
      train ? row("on train", number(train.loss.height, 2), rise, `error ${difference(train.error.height)} %`) : null,
      row("from", numbers.a, ""), row("to", numbers.b, "")),
  ];
}
