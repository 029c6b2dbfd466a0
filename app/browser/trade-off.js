// The LiNeS trade-off of one expert: its own task against the others along γ, with WiSE-FT as a reference line.

import { createChart } from "./chart.js";
import { TRADE_OFF } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { count, number, percent, plusMinus } from "./format.js";
import { createInView, createNewest } from "./newest.js";

const CURVES = [["lines_gamma", "LiNeS", "γ"], ["wise_ft", "WiSE-FT", "α"]];

export function createTradeOff({ server, theme }) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const chooser = h("span", {});
  const stage = h("span", { class: "stage" });
  const table = h("div", { class: "trade-table" });
  const more = h("button", { type: "button", class: "quiet", onclick: () => { subset = "full"; restart(); } }, "Measure on all examples");
  const body = h("div", { class: "trade-body" }, plot, h("div", { class: "readout" },
    h("p", {}, "What an expert learned for its own task often costs the others. LiNeS keeps less of its early layers the smaller γ is; γ 1 is the whole expert."),
    h("p", { class: "hint" }, "Up and to the right is better. Dotted: WiSE-FT, base + α times the task vector, all layers alike. Crosses: 95 % intervals of LiNeS."), table));
  const tools = createChartTools(TRADE_OFF, theme);
  const element = h("div", { class: "trade-off" },
    h("header", {}, h("h3", {}, "Trade-off of one expert"), chooser, stage, more, tools.element), body);
  const chart = createChart(plot, theme);
  let family = null;
  let expert = null;
  let choice = null;
  let subset = "preview";
  let done = false;
  const inView = createInView(element, ask);
  const newest = createNewest((message) => server.trade_off(message), draw);

  function set(next) {
    family = next;
    const own = family.experts.filter((one) => one.task);
    element.hidden = !family.base || family.tasks.length < 2 || own.length === 0;
    expert = null;
    if (element.hidden) return;
    choice = createChoice({ title: "expert", choices: own.map(({ ref, title }) => ({ value: ref, title })), onInput: show });
    fill(chooser, choice.row);
    show(own[0].ref);
  }

  // The expert of the task that is looked at.
  function follow(task) {
    const own = family?.experts.find((one) => one.task === task);
    if (own && !element.hidden && own.ref !== expert) show(own.ref);
  }

  function show(ref) {
    expert = ref;
    choice.set(ref);
    restart();
  }

  function restart() {
    done = false;
    ask();
  }

  function ask() {
    if (done || expert === null || !inView()) return;
    newest({ family: family.name, expert, subset });
  }

  async function draw(answer, last) {
    if (!answer.ok) {
      if (last) stage.textContent = answer.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const { numbers } = answer;
    if (numbers.expert.ref !== expert || numbers.subset !== subset || numbers.family !== family.name) return;
    const partial = numbers.subset === "preview";
    stage.textContent = `${numbers.split}, ${partial ? "preview of" : "all"} ${count(numbers.n.target)} and ${count(numbers.n.controls)}${numbers.complete ? "" : ", measuring"}`;
    stage.classList.toggle("partial", partial || !numbers.complete);
    more.disabled = !partial;
    fill(table, readable(numbers));
    if (numbers.curves.lines_gamma.length) {
      const figure = answer.figures.trade_off;
      tools.show({ figure, numbers, words: `${numbers.expert.title} against ${numbers.controls.join(", ")}; ${stage.textContent} examples` });
      await chart.draw(figure);
    }
    done = numbers.complete;
    element.dataset.complete = String(numbers.complete);
    ask();
  }

  return { element, set, follow };
}

function readable(numbers) {
  const rows = CURVES.flatMap(([key, name, letter]) => numbers.curves[key].map((point) => [name, letter, point]));
  return h("details", {}, h("summary", {}, "the same as a table"),
    h("table", {}, h("caption", { class: "sr-only" }, `Accuracy in percent on ${numbers.target} and on the other tasks`),
      h("thead", {}, h("tr", {}, ["point", numbers.target, "others"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([name, letter, point]) => h("tr", {}, h("th", { scope: "row" }, `${name} ${letter} ${number(point.at, 1)}`),
        h("td", {}, `${percent(point.target)} ${plusMinus(point.target_interval)}`), h("td", {}, `${percent(point.control)} ${plusMinus(point.control_interval)}`))))));
}
