// Learn: masks and coefficients of a merge, found by gradient descent while one watches. A run is a job of the server: it goes on
// without the page, and the page finds it again.

import { fill, h } from "./dom.js";
import { familyNamed, plain, toneOf } from "./families.js";
import { createLearnBring } from "./learn-bring.js";
import { createLearnChance } from "./learn-chance.js";
import { createLearnCharts } from "./learn-charts.js";
import { createLearnForm } from "./learn-form.js";
import { createLearnResult } from "./learn-result.js";
import { createLearnRuns } from "./learn-runs.js";
import { createLearnStatus, goes } from "./learn-status.js";

const LOOK_EVERY = 350;
const LOST_EVERY = 2000;

export function createLearn({ server, store, notice, theme, description, open }) {
  if (!server.learn_start) return {};
  const form = createLearnForm({ begin });
  const chance = createLearnChance(server, theme);
  const status = createLearnStatus({ wish });
  const charts = createLearnCharts(theme);
  const result = createLearnResult({ take, join, again: () => wish("go"), exportIt: (state) => onward(state, "[data-act=export]"), shareIt: (state) => onward(state, "[data-act=share]") });
  const runs = createLearnRuns({ look: choose, remove });
  const intro = h("section", { class: "panel learn-intro", "aria-label": "An example", hidden: true }, h("header", {}, h("h2", {}, "An example"), h("span", { class: "stage" }, "recorded on the zoo")),
    h("p", {}, "This is what you will watch: what is minimised, accuracy on validation, and how much of each expert every layer takes. Start learning does it with the models that stand in the studio. You can pause it, stop it with the best so far, and close the page meanwhile."));
  const main = h("div", { class: "learn-main" }, intro, status.element, result.element, charts.element, runs.element, createLearnBring(server, { take }), chance.element);
  const element = h("div", { class: "learn", hidden: true }, form.element, main);
  let offer = null;
  let listed = [];
  let current = null;
  let seen = null;
  let watching = false;
  let lost = false;
  let asked = "";

  const shown = () => !element.hidden;

  async function begin(spec) {
    const answer = await ask(() => server.learn_start({ state: store.get(), spec }));
    if (!answer.ok) return answer.problems.map((problem) => problem.sentence);
    listed = [answer.run, ...listed];
    choose(answer.run.id);
    if (window.matchMedia("(max-width: 760px)").matches) status.element.scrollIntoView({ block: "start" });
    return [];
  }

  function choose(id) {
    current = id;
    seen = null;
    result.hide();
    draw(listed.find((run) => run.id === id));
    watch();
  }

  function draw(run) {
    intro.hidden = true;
    listed = listed.map((one) => (one.id === run.id ? run : one));
    element.dataset.state = run.state;
    status.show(run);
    charts.prepare(offer.methods.find((one) => one.name === run.method) ?? { learns: [] }, run.spec.models.length);
    runs.show(listed, current);
  }

  async function look() {
    await ours();
    const answer = await ask(() => server.learn_runs({}));
    if (!answer.ok || !offer) return;
    listed = answer.runs;
    if (!listed.some((run) => run.id === current)) current = null;
    if (current === null && listed.length) choose(listed[0].id);
    else if (current === null) showExample();
    else watch();
  }

  // Whoever has no run yet sees one that was recorded.
  async function showExample() {
    const answer = await ask(() => server.learn_example({}));
    if (!answer.ok || !answer.example || current !== null) return;
    const { numbers, figures, result: became } = answer.example;
    intro.hidden = false;
    charts.prepare(offer.methods.find((one) => one.name === "adamerging"), numbers.experts.length);
    await charts.show(numbers, figures, true);
    if (current === null) result.show({ example: true }, became, numbers);
  }

  async function watch() {
    if (watching || current === null) return;
    watching = true;
    while (current !== null && shown()) {
      const wanted = current;
      const answer = await ask(() => server.learn_watch({ run: wanted, seen }));
      if (wanted !== current) continue;
      if (answer.ok) await hear(answer);
      else status.refused(answer.problems);
      if (answer.ok ? !goes(answer.run) : !lost) break;
      await new Promise((resolve) => setTimeout(resolve, lost ? LOST_EVERY : LOOK_EVERY));
    }
    watching = false;
  }

  async function hear(answer) {
    draw(answer.run);
    seen = answer.seen;
    if (!answer.numbers) return;
    status.say(answer.numbers);
    await charts.show(answer.numbers, answer.figures, !goes(answer.run) && answer.result !== null);
    if (answer.result) result.show(answer.run, answer.result, answer.numbers);
    element.dataset.step = String(answer.numbers.step);
  }

  async function wish(what) {
    const answer = await ask(() => server.learn_wish({ run: current, wish: what }));
    if (answer.ok) draw(answer.run);
    else notice.problems(answer, true);
    watch();
  }

  async function remove(id) {
    const answer = await ask(() => server.learn_delete({ run: id }));
    if (!answer.ok) return notice.problems(answer, true);
    listed = answer.runs;
    if (id === current) {
      current = null;
      status.hide();
      charts.hide();
      result.hide();
      if (listed.length) return choose(listed[0].id);
      showExample();
    }
    runs.show(listed, current);
  }

  function take(state) {
    open(state);
    window.scrollTo(0, 0);
  }

  // The studio's models, with an expert that was trained here.
  async function join({ expert, spec }) {
    const family = familyNamed(description, store.get().family);
    const experts = [...family.experts.map((one) => ({ ref: one.ref, task: one.task ?? null })), { ref: expert, task: spec.tasks[0] }];
    const tasks = [...new Set([...family.tasks, ...spec.tasks])];
    const specs = Object.values(family.specs ?? {});
    const answer = await ask(() => server.models_check({ base: family.base, experts: experts.filter((one, place) => experts.findIndex((other) => other.ref === one.ref) === place), tasks, ...(specs.length ? { specs } : {}) }));
    if (answer.ok) take(answer.state);
    else notice.problems(answer, true);
  }

  // The recipe comes to the studio first: exports and links are of what stands there.
  function onward(state, act) {
    take(state);
    document.querySelector(act)?.click();
  }

  // What would be learned on: asked again when the studio's models are others.
  async function ours() {
    const state = store.get();
    const family = familyNamed(description, state.family);
    const key = JSON.stringify([state.family, state.recipe.base, state.recipe.models.map((entry) => entry.ref)]);
    if (key === asked) return;
    const answer = await ask(() => server.learn_offer({ state }));
    if (!answer.ok) return notice.problems(answer, true);
    asked = key;
    offer = answer;
    const titles = state.recipe.models.map((entry) => family.experts.find((one) => plain(one.ref) === plain(entry.ref))?.title ?? entry.ref);
    const tasks = answer.tasks.map((task) => {
      const expert = family.experts.find((one) => one.task === task.task);
      return { ...task, title: expert?.title ?? description.tasks.find((one) => one.name === task.task)?.title ?? task.task, tone: toneOf({ kind: "expert", colour: expert?.colour ?? null }) };
    });
    form.set(answer, tasks, `On the studio’s models: ${titles.join(", ")}.`);
  }

  async function ask(work) {
    try {
      const answer = await work();
      lost = false;
      return answer.ok ? answer : { ok: false, problems: answer.problems ?? [] };
    } catch (error) {
      lost = true;
      return { ok: false, problems: [{ sentence: `The server does not answer (${error.message}). A run goes on without the page.` }] };
    }
  }

  return { tab: { name: "learn", title: "Learn", element, shown: look }, state: () => { if (shown()) ours(); } };
}
