// One method in one picture, drawn from the visitor's own numbers: what it keeps, what it drops, where the experts disagree.

import { createChart } from "./chart.js";
import { METHOD } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { createNewest } from "./newest.js";

const READING = "Each dot is one number of the model: to the right is what the plain mean of the experts would add, upward is what the method adds. On the dotted line both are the same; a stroke on the middle line was dropped.";
const LEGEND = [["agree", "all agree"], ["most", "most agree"], ["split", "experts split"], ["dropped", "dropped"], ["plain", "plain mean"]];

export function createMethodPicture({ server, theme }) {
  const title = h("h3", {});
  const summary = h("p", {});
  const stage = h("p", { class: "hint", role: "status" });
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const shares = h("dl", { class: "picker-shares" });
  const tools = createChartTools(METHOD, theme);
  const legend = h("div", { class: "legend", "aria-hidden": "true" }, LEGEND.map(([kind, text]) => h("span", {}, h("i", { class: `dot-${kind}` }), text)));
  const body = h("div", { class: "picker-drawn" }, legend, plot, shares, h("p", { class: "hint" }, READING));
  const element = h("div", { class: "picker-right" }, h("header", {}, title, tools.element), summary, stage, body);
  const chart = createChart(plot, theme);
  const newest = createNewest((message) => server.method_picture(message), draw);
  let wanted = null;
  let resting = true;
  body.hidden = !server.method_picture;

  // `problem`: why the method cannot be chosen, else null.
  function look(info, message, problem) {
    title.textContent = info.title;
    summary.textContent = info.summary;
    wanted = info.name;
    if (problem !== null) {
      stage.textContent = problem;
      body.hidden = true;
    } else if (server.method_picture) {
      element.dataset.picture = "";
      newest({ ...message, method: info.name });
    }
  }

  async function draw(answer, last, message) {
    if (resting || message.method !== wanted || !last) return;
    body.hidden = !answer.ok;
    if (!answer.ok) {
      stage.textContent = answer.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const { numbers, figures } = answer;
    stage.textContent = numbers.words;
    legend.classList.toggle("alone", numbers.experts.length < 2);
    fill(shares, numbers.shares.map(({ name, text, sentence }) => [h("dt", {}, h("strong", {}, text), ` ${name}`), h("dd", {}, sentence)]));
    tools.show({ figure: figures.method, numbers, words: `${numbers.title}, λ = 1; ${numbers.words}` });
    await chart.draw(figures.method);
    element.dataset.picture = numbers.method;
  }

  return { element, look, rest: (still) => (resting = still) };
}
