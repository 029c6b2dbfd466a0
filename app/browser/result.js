// A stored result as a page: numbers and charts at once, as they were measured; nothing is computed until it is asked for.

import { createAccuracyPanel } from "./accuracy.js";
import { createChart } from "./chart.js";
import { LAYERS, PATH } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { count, date, difference, number, percent, plusMinus } from "./format.js";
import { attempt } from "./server.js";

export function createResult({ server, notice, theme, open }, { back, link, file }) {
  const head = h("header", { class: "result-head" });
  const again = h("section", { class: "panel again", "aria-label": "Recomputed", role: "status", hidden: true });
  const test = h("section", { class: "panel test-score", "aria-label": "Test score", hidden: true });
  let charts = null;
  const facts = h("section", { class: "panel facts", "aria-label": "Recipe and versions" });
  const element = h("article", { class: "result", hidden: true }, head, again, test, facts);

  // Made when the first result is shown; most visits show none.
  function made() {
    if (charts) return charts;
    charts = { accuracy: createAccuracyPanel(theme), path: chartPanel(PATH, theme), layers: chartPanel(LAYERS, theme) };
    test.before(charts.accuracy.element);
    test.after(charts.path.element, charts.layers.element);
    return charts;
  }

  async function show(page, { row = null, name = "", tags = [], shared = null, source }) {
    element.hidden = false;
    again.hidden = true;
    window.scrollTo(0, 0);
    const { numbers, figures } = page;
    const { accuracy, path, layers } = made();
    const { average } = numbers.accuracy;
    const act = (label, what, title = "") => h("button", { type: "button", class: "quiet", title, onclick: what }, label);
    fill(head,
      h("div", { class: "acts" }, act("← Library", back), h("span", { class: "spacer" }),
        h("button", { type: "button", class: "primary", disabled: !page.state, title: page.why, onclick: () => open(page.state) }, "Open in studio"),
        h("button", { type: "button", class: "quiet", disabled: !page.state, title: page.why, onclick: () => recompute(source) }, "Recompute and compare"),
        row ? [act("Copy link", () => link(row)), act("Download", () => file(row), "one file: .basin.json")] : null,
        act("Print", () => window.print())),
      h("h2", {}, name || page.label),
      name ? h("p", { class: "label" }, page.label) : null,
      h("p", { class: "lead" }, `${percent(average.accuracy, average.interval)} ${plusMinus(average.interval)} % ${numbers.accuracy.tasks.length > 1 ? `on average over ${numbers.accuracy.tasks.length} tasks` : "accuracy"}, validation split, n ${count(numbers.accuracy.n)}, measured ${date(page.measured)} with Basin ${page.environment.basin} on ${page.environment.device}.`,
        page.imported ? " It came in a file: this Basin repeats what the file says." : "", shared ? ` Shared ${date(shared)}.` : "", page.why ? ` ${page.why}` : ""),
      tags.length ? h("p", { class: "tags" }, tags.map((tag) => h("span", { class: "tag" }, tag))) : null);
    showTest(numbers.test);
    showFacts(page);
    await accuracy.show(figures.accuracy, numbers.accuracy, page.hash);
    await path.show(figures.path, numbers.path, page.hash, numbers.path ? pathWords(numbers.path) : "");
    await layers.show(figures.layers, numbers.layers, page.hash, "λ(ℓ) over depth, with sign conflict and the norm of each task vector");
    element.dataset.drawn = "true";
  }

  function showTest(numbers) {
    test.hidden = !numbers;
    if (!numbers) return;
    const { average } = numbers;
    fill(test, h("div", { class: "test-body" },
      h("strong", {}, `Test: ${percent(average.accuracy, average.interval)} ${plusMinus(average.interval)} %`),
      h("span", {}, `normalised ${number(numbers.normalised?.value, 2)}, n ${count(numbers.n)}, test split`),
      h("span", { class: "tasks" }, numbers.tasks.map((task) => h("span", {}, `${task.title} ${percent(task.accuracy, task.interval)}`))),
      h("span", { class: "hint" }, numbers.test_scores === 1 ? "The first test score that was taken on these tasks." : `${numbers.test_scores} test scores had been taken on these tasks; the more one looks, the less they prove.`)));
  }

  function showFacts(page) {
    const pair = (term, value) => [h("dt", {}, term), h("dd", {}, h("code", {}, value))];
    fill(facts, h("header", {}, h("h2", {}, "Recipe and versions")),
      h("div", { class: "facts-body" }, h("pre", { class: "yaml", tabindex: "0", "aria-label": "recipe as YAML" }, page.yaml),
        h("dl", {}, pair("recipe hash", page.hash), pair("examples", page.evaluation), pair("measured", page.measured),
          Object.entries(page.environment).map(([name, value]) => pair(name, value)), Object.values(page.pins).map((pin) => pair("checkpoint", pin)))));
  }

  async function recompute(source) {
    again.hidden = false;
    fill(again, h("p", { class: "hint" }, "Measuring on the whole validation split …"));
    const answer = await attempt(notice, () => server.recompute(source));
    if (!answer) {
      again.hidden = true;
      return;
    }
    const { average } = answer.numbers;
    const found = answer.differences?.average;
    fill(again, h("header", {}, h("h2", {}, "Measured here and now")),
      h("p", {}, h("strong", {}, `${percent(average.accuracy, average.interval)} ${plusMinus(average.interval)} %`), ` validation, n ${count(answer.numbers.n)}. ${answer.words}`,
        found ? ` Difference to the stored: ${difference(found.difference, 2)} points (95 % interval ${difference(found.interval[0], 2)} to ${difference(found.interval[1], 2)}, paired).` : ""),
      answer.changes.length ? h("ul", {}, answer.changes.map((change) => h("li", {}, change))) : null);
  }

  return { element, show, hide: () => { element.hidden = true; delete element.dataset.drawn; } };
}

function chartPanel(kind, theme) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const words = h("span", { class: "stage" });
  const tools = createChartTools(kind, theme);
  const element = h("section", { class: "panel", "aria-label": kind.title, hidden: true }, h("header", {}, h("h2", {}, kind.title), words, tools.element), h("div", { class: "plot-box" }, plot));
  const chart = createChart(plot, theme);

  async function show(figure, numbers, hash, text) {
    element.hidden = !figure;
    words.textContent = text;
    if (!figure) return;
    tools.show({ figure, numbers, hash, words: text });
    await chart.draw(figure);
  }

  return { element, show };
}

function pathWords(numbers) {
  const { validation } = numbers.splits;
  const height = numbers.barrier.validation.loss.height;
  return `from ${numbers.a} to ${numbers.b}, ${validation.points.length} points, n ${count(validation.n)} of ${count(validation.of)} validation examples; barrier of the loss ${number(height, 3)}`;
}
