// A coin that shows 1 with probability σ(x), made smooth by a temperature, and what becomes of it when it is made hard again.

import { createChart } from "./chart.js";
import { COIN } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { createSlider } from "./controls.js";
import { fill, h } from "./dom.js";
import { count, percent } from "./format.js";
import { createInView, createNewest } from "./newest.js";
import { createDraws, createTemperature, LOGIT } from "./simplex-controls.js";

const WHY = "A mask keeps a number or drops it: a coin, which no gradient can move; relaxed, it lies between 0 and 1, and the gradient says whether to keep more or less.";
const COLD = "Cold coins are nearly 0 or 1, but their gradients are mostly nothing and sometimes huge; warm ones have steady gradients, but are far from the mask that is kept.";
const FORMULA = "relaxed coin = σ ((log u − log (1 − u) + x) / T),  u uniform on (0, 1);  P(1) = σ(x)";
const WAYS = {
  soft: ["relaxed", "the sample as it is, between 0 and 1"],
  straight: ["straight-through", "1 if the relaxed sample is above ½, with the relaxed one's gradient"],
  coin: ["coin", "1 with probability σ(x); no gradient"],
  hard: ["threshold", "1 if σ(x) is above ½: always the same; no gradient"],
  mean: ["probability", "σ(x) itself: no chance"],
};

export function createCoin({ server, theme }) {
  let asked = { logit: 0.5, temperature: 0.5 };
  const logit = createSlider({ ...LOGIT, title: "logit x", help: "how strongly 1 is preferred to 0", onInput: (value) => move({ logit: value }) });
  const temperature = createTemperature({ ends: ["0 or 1", "½"], onInput: (value) => move({ temperature: value }) });
  const draws = createDraws(ask);
  const stage = h("span", { class: "stage", role: "status" });
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const chart = createChart(plot, theme);
  const tools = createChartTools(COIN, theme);
  const readout = h("div", { class: "chance-side chance-said" });
  const element = h("section", { class: "panel chance coin", "aria-label": "A coin" },
    h("header", {}, h("h2", {}, "A coin"), stage, tools.element),
    h("div", { class: "chance-body" },
      h("div", { class: "chance-controls" }, logit.row, temperature.row, draws.element, h("p", {}, WHY), h("p", { class: "hint" }, COLD)),
      plot, readout),
    h("code", { class: "formula" }, FORMULA));
  const inView = createInView(element, ask);
  const newest = createNewest((message) => server.coin_samples(message), draw);

  function move(change) {
    asked = { ...asked, ...change };
    show();
    ask();
  }

  function show() {
    logit.set(asked.logit);
    temperature.set(asked.temperature);
  }

  function ask() {
    if (inView()) newest({ ...asked, ...draws.asked() });
  }

  async function draw(answer, last) {
    if (!answer.ok) {
      if (last) stage.textContent = answer.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const { numbers, figures } = answer;
    const words = `${count(numbers.n)} samples, temperature ${numbers.temperature}, seed ${numbers.seed}`;
    stage.textContent = words;
    tools.show({ figure: figures.coin, numbers, words: `x ${numbers.logit}, ${words}` });
    fill(readout, said(numbers));
    await chart.draw(figures.coin);
    element.dataset.seq = answer.seq;
  }

  show();
  return element;
}

function said({ probability, gradient, ways }) {
  return [
    h("p", {}, h("strong", {}, `P(1) = σ(x) = ${percent(probability)} %`), `; it grows by ${gradient.toFixed(3)} for each unit of x.`),
    h("table", { class: "chance-table" },
      h("caption", { class: "sr-only" }, "What a coin becomes in each way, its mean and its mean gradient, with 95 % intervals"),
      h("thead", {}, h("tr", {}, ["made of it", "mean", "gradient in x"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, ways.map((way) => {
        const [title, sentence] = WAYS[way.name];
        return h("tr", { title: sentence }, h("th", { scope: "row" }, title, h("span", { class: "hint" }, sentence)),
          cell(way.mean, way.interval), cell(way.gradient, way.gradient_interval));
      }))),
  ];
}

function cell(value, interval) {
  return h("td", {}, value.toFixed(3), interval ? h("span", { class: "hint" }, `${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}`) : null);
}
