// The charts of a run: they are drawn in place while it goes on, and stand where they stand from its first moment.

import { createChart } from "./chart.js";
import { LEARN_ACCURACY, LEARN_COEFFICIENTS, LEARN_DENSITY, LEARN_LOSS } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";

const ROW = 26;
const FRAME = 60;

export function createLearnCharts(theme) {
  const legend = h("div", { class: "legend", "aria-hidden": "true" });
  const charts = {
    accuracy: panel(LEARN_ACCURACY, theme, legend), loss: panel(LEARN_LOSS, theme),
    coefficients: panel(LEARN_COEFFICIENTS, theme), density: panel(LEARN_DENSITY, theme),
  };
  const element = h("div", { class: "learn-charts", hidden: true }, charts.loss.element, charts.accuracy.element,
    h("div", { class: "learn-pair" }, charts.coefficients.element, charts.density.element));

  // What a run of this method has to show.
  function prepare({ learns, objective, makes, group }, experts) {
    element.hidden = false;
    charts.loss.element.hidden = !objective;
    charts.coefficients.element.hidden = makes === "expert" || !(learns.includes("coefficients") || group === "soups");
    charts.density.element.hidden = !learns.includes("mask");
    charts.coefficients.size(Math.max(190, FRAME + ROW * experts));
  }

  // Once a run is over, what it has nothing to show of takes no room.
  async function show(numbers, figures, over) {
    if (over) for (const [name, chart] of Object.entries(charts)) chart.element.hidden ||= !figures[name];
    fill(legend, h("span", {}, h("i", { class: "mark learn-level" }), numbers.yardstick), numbers.tasks.map((task) => h("span", {}, h("i", { class: "mark dot", style: { "--tone": task.colour === null ? "var(--base)" : `var(--expert-${task.colour % 8})` } }), task.title)));
    const checked = numbers.checks.at(-1);
    await charts.loss.show(figures.loss, numbers, `${numbers.split} split; thick: mean over the last ${numbers.curve.smooth.window} steps`);
    await charts.accuracy.show(figures.accuracy, numbers, checked ? `${checked.split}, ${!checked.partial ? "all" : numbers.subset === "preview" ? "preview of" : "a part of"} ${count(checked.n)}${numbers.transductive ? ", transductive" : ""}${numbers.linearised ? ", of the linearised model" : ""}` : "");
    await charts.coefficients.show(figures.coefficients, numbers, `after step ${numbers.step}`);
    await charts.density.show(figures.density, numbers, `after step ${numbers.step}`);
  }

  return { element, prepare, show, hide: () => { element.hidden = true; } };
}

function panel(kind, theme, more = null) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const words = h("span", { class: "stage" });
  const tools = createChartTools(kind, theme);
  const element = h("section", { class: "panel", "aria-label": kind.title }, h("header", {}, h("h2", {}, kind.title), words, more, h("span", { class: "spacer" }), tools.element), plot);
  const chart = createChart(plot, theme);
  const empty = { data: [], layout: { xaxis: { visible: false }, yaxis: { visible: false }, paper_bgcolor: "role:paper", plot_bgcolor: "role:paper" }, narrow: {} };

  async function show(figure, numbers, text) {
    if (element.hidden) return;
    words.textContent = figure ? text : "";
    tools.element.hidden = !figure;
    if (figure) tools.show({ figure, numbers, words: text });
    await chart.draw(figure ?? empty);
  }

  return { element, show, size: (height) => { plot.style.height = `${height}px`; } };
}
