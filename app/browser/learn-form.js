// What is learned, from what, and for how long. Controls come from the registry of learning methods; what a visitor chose stays.

import { createChoice, createExplainer, createKnob, createSlider, stands } from "./controls.js";
import { fill, freshId, h } from "./dom.js";
import { createKept } from "./kept.js";

const SPLITS = { calibration: "calibration (inputs only)", train: "train", validation: "validation (the examples that are shown)", test: "test (transductive)" };
const KEEPS = { accuracy: "the best check by accuracy", last: "the last step", loss: "the best check by loss", objective: "the best check by what is minimised" };

export function createLearnForm({ begin }) {
  const kept = createKept("sessionStorage", "basin-learn");
  let chosen = kept.get() ?? { method: null, params: {} };
  let offer = null;
  let tasks = [];
  const explain = createExplainer("the method of learning");
  const method = h("div", {});
  const summary = h("p", { class: "hint" });
  const knobs = h("div", {});
  const places = h("div", {});
  const words = h("p", { class: "hint" });
  const taskId = freshId("tasks");
  const boxes = h("div", { class: "learn-tasks", role: "group", "aria-labelledby": taskId });
  const length = h("div", {});
  const more = h("details", { class: "learn-more" }, h("summary", {}, "Batch, seed and checks"));
  const about = h("p", { class: "hint" });
  const start = h("button", { type: "button", class: "primary", onclick: press }, "Start learning");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const section = (title, ...inside) => h("section", {}, h("h2", {}, title), inside);
  const element = h("aside", { class: "rail", "aria-label": "What is learned" },
    section("What is learned", about, method, summary, knobs, explain.panel),
    section("From which examples", places, words, h("p", { class: "hint", id: taskId }, "Tasks to learn from"), boxes),
    section("For how long", length, more),
    h("section", { class: "start" }, start, trouble));

  const info = () => offer.methods.find((one) => one.name === chosen.method) ?? offer.methods[0];

  function set(nextOffer, nextTasks, models) {
    offer = nextOffer;
    tasks = nextTasks;
    about.textContent = models;
    build();
  }

  function build() {
    const groups = offer.methods.map((one) => ({ value: one.name, title: one.title, group: one.group }));
    const choice = createChoice({ title: "learn by", help: "What the run changes, and what it makes small.", choices: groups, onInput: (name) => choose({ method: name, params: {}, split: undefined, steps: undefined, batch: undefined, tasks: undefined }) });
    choice.set(info().name);
    choice.row.append(explain.button);
    fill(method, choice.row);
    explain.set(info());
    summary.textContent = info().summary;
    drawKnobs();
    drawPlaces();
    drawLength();
  }

  // An expert is trained on one task unless more are ticked, a merge is learned from all that its experts know.
  function ticked(task) {
    const own = info().makes === "expert" ? task === tasks[0] : task.own;
    return chosen.tasks?.[task.task] ?? own;
  }

  function choose(changes) {
    chosen = { ...chosen, method: info().name, ...changes };
    kept.set(chosen);
    build();
  }

  function note(changes) {
    chosen = { ...chosen, method: info().name, ...changes };
    kept.set(chosen);
  }

  function drawKnobs() {
    const { parameters } = info();
    const rows = new Map();
    const values = () => ({ ...Object.fromEntries(parameters.map((one) => [one.name, one.default])), ...chosen.params });
    const show = () => rows.forEach((knob, one) => { knob.row.hidden = !stands(one, parameters, values()); });
    for (const one of parameters) {
      const knob = createKnob(one, { onInput: (value) => { note({ params: { ...chosen.params, [one.name]: value } }); show(); } });
      knob.set(values()[one.name]);
      rows.set(one, knob);
    }
    fill(knobs, [...rows.values()].map((knob) => knob.row));
    show();
  }

  function drawPlaces() {
    const { splits } = info();
    const split = splits.includes(chosen.split) ? chosen.split : splits[0];
    const choice = createChoice({ title: "examples", help: "The split that the run learns from.", choices: splits.map((value) => ({ value, title: SPLITS[value] ?? value })), onInput: (value) => choose({ split: value }) });
    choice.set(split);
    fill(places, splits.length > 1 ? choice.row : null);
    words.textContent = splitWords(info(), split);
    words.classList.toggle("warns", split === "test" || split === "validation");
    fill(boxes, tasks.map((task) => {
      const box = h("input", { type: "checkbox", id: freshId("task"), checked: ticked(task), onchange: () => note({ tasks: { ...chosen.tasks, [task.task]: box.checked } }) });
      return h("label", { for: box.id }, box, h("i", { class: "mark dot", style: { "--tone": task.tone } }), task.title);
    }));
  }

  function drawLength() {
    const one = info();
    const { every, subset, keep, seed } = offer.shared;
    const steps = slider("steps", one.objective ? "How many steps." : "How many batches of examples it looks at, at most.", one.objective ? [10, Math.max(1000, 2 * one.steps)] : [1, 4 * one.steps], [1, 1_000_000], chosen.steps ?? one.steps, (value) => note({ steps: value }));
    const keeps = createChoice({ title: "keep", help: keep.help, choices: keep.choices.map((value) => ({ value, title: KEEPS[value] ?? value })), onInput: (value) => note({ keep: value }) });
    keeps.set(chosen.keep ?? keep.default);
    fill(length, steps.row, one.objective ? keeps.row : null);
    const checks = slider("check every", every.help, [5, 100], [every.minimum, every.maximum], chosen.every ?? every.default, (value) => note({ every: value }));
    const on = createChoice({ title: "check on", help: subset.help, choices: subset.choices.map((value) => ({ value, title: value === "full" ? "all of validation" : "its preview" })), onInput: (value) => note({ subset: value }) });
    on.set(chosen.subset ?? one.subset ?? subset.default);
    const batch = slider("batch", "Examples of each task in a step.", [1, 64], [1, 4096], chosen.batch ?? one.batch, (value) => note({ batch: value }));
    const chance = h("input", { type: "number", class: "number", id: freshId("seed"), min: 0, max: 4294967295, step: 1, value: chosen.seed ?? seed.default, onchange: () => { if (Number.isInteger(chance.valueAsNumber)) note({ seed: chance.valueAsNumber }); } });
    fill(more, more.firstElementChild, batch.row, one.objective ? [checks.row, on.row] : null, h("div", { class: "choice-row" }, h("label", { for: chance.id, title: "The same seed gives the same run on a CPU." }, "seed"), chance));
  }

  function slider(title, help, range, bounds, value, onInput) {
    const made = createSlider({ title, help, range, bounds, step: 1, onInput: (next) => onInput(Math.round(next)) });
    made.set(value);
    return made;
  }

  // What the visitor asks for, as a specification has it; the server fills in the models.
  function spec() {
    const one = info();
    const given = (name) => (chosen[name] === undefined ? {} : { [name]: chosen[name] });
    const known = new Set(one.parameters.map((parameter) => parameter.name));
    const params = Object.fromEntries(Object.entries(chosen.params).filter(([name]) => known.has(name)));
    const split = one.splits.includes(chosen.split) ? { split: chosen.split } : {};
    const check = Object.fromEntries(["every", "subset"].filter((name) => chosen[name] !== undefined).map((name) => [name, chosen[name]]));
    return { method: { name: one.name, params }, ...split, ...taught(one), ...given("steps"), ...given("batch"), ...given("keep"), ...given("seed"), check };
  }

  // A merge is learned from the tasks that are ticked and shown on all that its experts know; anything else sees the ticked ones alone.
  function taught({ makes, objective }) {
    const names = (found) => found.map((task) => task.task);
    const teachers = tasks.filter(ticked);
    if (makes === "expert" || !objective) return { tasks: names(teachers) };
    const shown = tasks.filter((task) => task.own || ticked(task));
    return { tasks: names(shown), ...(teachers.length < shown.length ? { learn_from: names(teachers) } : {}) };
  }

  async function press() {
    if (!tasks.some(ticked)) return fill(trouble, h("p", {}, "Tick a task to learn from."));
    start.disabled = true;
    fill(trouble);
    const problems = await begin(spec());
    start.disabled = false;
    fill(trouble, problems.map((sentence) => h("p", {}, sentence)));
  }

  return { element, set, info: () => (offer ? info() : null) };
}

// What the examples are used for, in one line.
function splitWords({ objective, group }, split) {
  if (group === "soups" && !objective) return split === "validation" ? "One half of validation chooses the models; the numbers that are shown come from the other half." : `The ${split} split chooses the models; the charts show what it chose by, the result is on validation.`;
  if (!objective) return `It reads inputs of the ${split} split. The result is shown on validation.`;
  const labels = objective === "cross_entropy" ? "inputs and labels" : "inputs, without their labels";
  if (split === "test") return "It learns from the test inputs, without their labels, as the papers do: every number of such a merge is transductive.";
  if (split === "validation") return "It learns from the inputs of validation, which the charts show too: its numbers are a little too good.";
  return `It learns from ${labels}, of the ${split} split. The charts show validation, which it does not learn from.`;
}
