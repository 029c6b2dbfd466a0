// Chance by hand: one of three classes on the simplex, and a coin on [0, 1], each drawn and relaxed. The server draws every
// sample with the functions that masks are learned with; the same seed keeps the noise, so that points glide as sliders move.

import { createChart } from "./chart.js";
import { CHANCES, SIMPLEX } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { createSlider } from "./controls.js";
import { fill, h } from "./dom.js";
import { count, percent } from "./format.js";
import { createInView, createNewest } from "./newest.js";
import { createCoin } from "./simplex-coin.js";
import { createCorner } from "./simplex-corner.js";
import { createDraws, createTemperature, LOGIT } from "./simplex-controls.js";

const NAMES = ["A", "B", "C"];
const WHY = "A drawn class jumps to another or stays, so no gradient says which way to move a logit; the relaxed sample moves smoothly with the logits, so they can be learned.";
const READING = "Each point is one sample; its colour and form say which class was drawn, the cross is softmax of the logits. Drag the ring or the sliders: the noise stays, so each point glides. The temperature moves points and never changes which class was drawn.";
const FORMULA = "class = argmax (logits + Gumbel noise);  point = softmax ((logits + Gumbel noise) / T)";

export function mount(element, server, theme) {
  fill(element, createThree({ server, theme }), createCoin({ server, theme }));
}

function createThree({ server, theme }) {
  let asked = { logits: [1, 0, -0.5], temperature: 0.5 };
  const sliders = NAMES.map((name, index) => createSlider({
    ...LOGIT, title: `logit ${name}`, help: `how strongly ${name} is preferred`, colour: `var(--expert-${index})`,
    onInput: (value) => move({ logits: asked.logits.map((old, place) => (place === index ? value : old)) }),
  }));
  const temperature = createTemperature({ ends: ["corners", "middle"], onInput: (value) => move({ temperature: value }) });
  const draws = createDraws(ask);
  const stage = h("span", { class: "stage", role: "status" });
  const triangle = h("div", { class: "plot", "aria-hidden": "true" });
  const bars = h("div", { class: "plot", "aria-hidden": "true" });
  const box = h("div", { class: "plot-box" }, triangle);
  const readout = h("div", { class: "chance-said" });
  const tools = createChartTools(SIMPLEX, theme);
  const barTools = createChartTools(CHANCES, theme);
  const charts = { simplex: createChart(triangle, theme, { onDrawn: place }), chances: createChart(bars, theme) };
  const corner = createCorner(box, charts.simplex, (logits) => move({ logits }));
  const element = h("section", { class: "panel chance simplex", "aria-label": "One of three classes" },
    h("header", {}, h("h2", {}, "One of three classes"), stage, tools.element),
    h("div", { class: "chance-body" },
      h("div", { class: "chance-controls" }, sliders.map((slider) => slider.row), temperature.row, draws.element, h("p", {}, WHY), h("p", { class: "hint" }, READING)),
      box,
      h("div", { class: "chance-side" }, h("div", { class: "chart-head" }, h("h3", {}, "How often each class was drawn"), barTools.element), bars, readout)),
    h("code", { class: "formula" }, FORMULA));
  const inView = createInView(element, ask);
  const newest = createNewest((message) => server.simplex_samples(message), draw);

  function move(change) {
    asked = { ...asked, ...change };
    show();
    ask();
  }

  function show() {
    sliders.forEach((slider, index) => slider.set(asked.logits[index]));
    temperature.set(asked.temperature);
    place();
  }

  function place() {
    corner.place(asked.logits);
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
    tools.show({ figure: figures.simplex, numbers, words });
    barTools.show({ figure: figures.chances, numbers, words });
    fill(readout, said(numbers));
    await Promise.all([charts.simplex.draw(figures.simplex), charts.chances.draw(figures.chances)]);
    element.dataset.seq = answer.seq;
  }

  show();
  return element;
}

function said({ classes, corners }) {
  return [
    h("table", { class: "chance-table" },
      h("caption", { class: "sr-only" }, "How often each class was drawn, with 95 % intervals, beside its probability"),
      h("thead", {}, h("tr", {}, ["class", "softmax", "drawn", "95 % interval"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, classes.map((one, index) => h("tr", { style: { "--tone": `var(--expert-${index})` } },
        h("th", { scope: "row" }, h("i", { class: "mark dot", "aria-hidden": "true" }), one.name),
        h("td", {}, `${percent(one.probability)} %`), h("td", {}, `${percent(one.share)} %`), h("td", {}, between(one.interval)))))),
    h("p", { class: "hint" }, `${percent(corners.share)} % of the points (${between(corners.interval)}) lie at a corner: their largest part is above 0.95.`),
  ];
}

function between([low, high]) {
  return `${percent(low)} to ${percent(high)}`;
}
