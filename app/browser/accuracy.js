// Accuracy per task: the chart, the average beside it, and the same numbers as a table for screen readers.

import { createChart } from "./chart.js";
import { ACCURACY } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { count, difference, number, percent, plusMinus } from "./format.js";

export function createAccuracyPanel(theme, onTask, ghosts) {
  const plot = h("div", { class: "plot", "aria-hidden": "true", onpointerdown: press });
  const readout = h("div", { class: "readout" });
  const table = h("div", { class: "sr-only" });
  const stage = h("span", { class: "stage" });
  const tools = createChartTools(ACCURACY, theme);
  const element = h("section", { class: "panel accuracy", "aria-label": "Accuracy per task" },
    h("header", {}, h("h2", {}, "Accuracy per task"), stage, legend(ghosts), tools.element),
    h("div", { class: "body" }, plot, readout), table);
  const chart = createChart(plot, theme);
  let tasks = [];

  // A press on a task's bar or label chooses it, unless the pointer moves on.
  function press(down) {
    window.addEventListener("pointerup", (up) => {
      const still = Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) < 5;
      const place = Math.round(chart.value("xaxis", down.clientX - plot.getBoundingClientRect().left) ?? -1);
      if (still && tasks[place]) onTask(tasks[place]);
    }, { once: true });
  }

  function show(figure, numbers, hash) {
    element.classList.toggle("empty", numbers === null);
    if (numbers === null) return nothing();
    tasks = numbers.tasks.map((task) => task.task);
    element.dataset.subset = numbers.subset;
    stage.textContent = numbers.partial
      ? `${numbers.split}, preview of ${count(numbers.n)}` : `${numbers.split}, all ${count(numbers.n)}`;
    if (numbers.transductive) stage.textContent += ", transductive";
    stage.classList.toggle("partial", numbers.partial);
    tools.show({ figure, numbers, hash, words: `${stage.textContent} examples` });
    const { average, normalised } = numbers;
    fill(readout,
      h("div", { class: "big" },
        h("span", { class: "figure", "data-value": "average" }, percent(average.accuracy, average.interval)),
        h("span", { class: "spread" }, `${plusMinus(average.interval)} %`),
        h("span", { class: "what" }, numbers.tasks.length > 1 ? "average" : "accuracy")),
      h("dl", {},
        pair("normalised", normalised ? number(normalised.value, 2) : "–", "merged ÷ expert, mean over tasks",
          normalised?.interval ? `${number(normalised.interval[0], 2)} – ${number(normalised.interval[1], 2)}` : ""),
        pair("base", percent(average.references?.base)),
        pair("simple average", percent(average.references?.average)),
        pair("ensemble", percent(average.references?.ensemble)),
        pair("experts", percent(average.references?.expert)),
        known(average.foretold) ? pair("tangent prediction", percent(average.foretold), "f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀), without running the merge", numbers.foretold_on ? `${numbers.foretold_on} only` : `${difference(average.foretold - average.accuracy)} against the merge`) : null,
        known(average.pinned) ? pair("against pinned", difference(average.accuracy - average.pinned)) : null,
        numbers.transductive ? pair("transductive", "yes", "adapted on test inputs") : null));
    fill(table, readable(numbers));
    return chart.draw(figure);
  }

  function nothing() {
    tasks = [];
    stage.textContent = "no task is chosen for these models: layers and export work, and there is no accuracy";
    stage.classList.remove("partial");
  }

  return { element, show };
}

function legend(ghosts) {
  const entry = (mark, text) => h("span", {}, h("i", { class: `mark ${mark}`, "aria-hidden": "true" }), text);
  return h("div", { class: "legend" }, entry("merge", "merge, 95 % interval"), entry("base", "base"), entry("expert", "expert"), entry("average", "simple average"), entry("ensemble", "ensemble"), ghosts?.element ?? null);
}

function known(value) {
  return value !== null && value !== undefined;
}

function pair(term, value, title = "", more = "") {
  return [h("dt", { title }, term), h("dd", {}, value, more ? h("small", {}, more) : "")];
}

function readable(numbers) {
  const head = ["task", "merge", "interval", "n", "base", "expert", "simple average", "ensemble"];
  return h("table", {}, h("caption", {}, `Accuracy in percent, ${numbers.split} split${numbers.partial ? ", preview" : ""}`),
    h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, numbers.tasks.map((task) => h("tr", {}, h("th", { scope: "row" }, task.title),
      [percent(task.accuracy), task.interval?.map((end) => percent(end)).join(" to "), task.n,
        ...["base", "expert", "average", "ensemble"].map((key) => percent(task.references?.[key]))].map((text) => h("td", {}, String(text ?? "–")))))));
}
