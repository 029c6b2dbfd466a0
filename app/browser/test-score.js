// Score on test: a separate act, counted, and set apart from what the sliders show.

import { TEST_SCORE } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { count, number, percent, plusMinus } from "./format.js";
import { attempt } from "./server.js";

export function createTestScore(ask, { theme, store, notice, taken = 0 }) {
  const tools = createChartTools(TEST_SCORE, theme);
  const body = h("div", { class: "test-body" });
  const element = h("section", { class: "panel test-score", "aria-label": "Test score", role: "status", hidden: true }, body);

  let asked = 0;

  async function run() {
    asked += 1;
    const mine = asked;
    element.hidden = false;
    fill(body, h("p", { class: "hint" }, "Scoring on the test split …"));
    const answer = await attempt(notice, () => ask({ state: store.get() }));
    if (mine !== asked) return;
    if (!answer) {
      element.hidden = true;
      return;
    }
    taken = answer.test_scores;
    const { numbers } = answer;
    tools.show({ figure: answer.figure, numbers, hash: answer.hash, words: `test, all ${count(numbers.n)} examples` });
    fill(body,
      h("strong", {}, `Test: ${percent(numbers.average.accuracy, numbers.average.interval)} ${plusMinus(numbers.average.interval)} %`),
      h("span", {}, `normalised ${number(numbers.normalised?.value, 2)}, n ${count(numbers.n)}, test split`),
      h("span", { class: "tasks" }, numbers.tasks.map((task) => h("span", {}, `${task.title} ${percent(task.accuracy)}`))),
      h("span", { class: "hint" }, taken === 1 ? "Your first test score on these tasks." : `You have taken ${taken} test scores on these tasks; the more one looks, the less they prove.`),
      tools.element,
      h("button", { type: "button", class: "quiet", "aria-label": "dismiss", onclick: () => { element.hidden = true; } }, "✕"));
  }

  // A score belongs to the merge it was taken of.
  function stale() {
    element.hidden = true;
  }

  return { element, run, stale };
}
