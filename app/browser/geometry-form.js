// Which question is asked, of which models, with which numbers, on which examples. Every control asks at once.

import { createChoice, createExplainer, createKnob, stands } from "./controls.js";
import { fill, freshId, h } from "./dom.js";
import { createGeometryModels } from "./geometry-models.js";

const SPLITS = [["validation", "validation"], ["train", "train (fine-tuning saw it)"]];
const SUBSETS = { full: "all of a split", preview: "its preview" };

export function createGeometryForm(choice, { changed }) {
  let offer = null;
  let used = [];
  let shown = null;
  const explain = createExplainer("the study");
  const which = h("div", {});
  const summary = h("p", { class: "hint" });
  const models = createGeometryModels({ onInput: (names) => { choice.changeOwn(info().name, { models: names }); drawModels(); changed(); } });
  const knobs = h("div", {});
  const examples = h("div", {});
  const foot = h("div", {});
  const section = (title, ...inside) => h("section", {}, h("h2", {}, title), inside);
  const numbers = section("Numbers", knobs);
  const measured = section("Examples", examples);
  const asked = section("Question", which, summary, explain.panel);
  asked.className = "asked";
  const element = h("aside", { class: "rail", "aria-label": "What is asked" },
    asked, section("Models", models.element), numbers, measured, h("section", {}, foot));

  const info = () => choice.study(offer);

  // What is shown stays in place unless another study was chosen or other models are there.
  function set(nextOffer, nextUsed) {
    offer = nextOffer;
    used = nextUsed;
    shown = null;
    const groups = offer.studies.map((one) => ({ value: one.name, title: one.title, group: one.group }));
    const picked = createChoice({ title: "study", help: "What is asked of the models.", choices: groups, onInput: (name) => { choice.change({ study: name }); build(); changed(); } });
    picked.set(info().name);
    picked.row.classList.add("which");
    picked.row.querySelector("label").className = "sr-only";
    picked.row.append(explain.button);
    fill(which, picked.row);
    build();
  }

  function build() {
    const one = info();
    if (shown === one.name) return;
    shown = one.name;
    explain.set(one);
    summary.textContent = one.summary;
    drawModels();
    drawKnobs(one);
    drawExamples(one);
  }

  function drawModels() {
    models.set(info(), choice.models(info(), offer, used), offer);
  }

  function drawKnobs(one) {
    const { parameters } = one;
    const rows = new Map();
    const show = () => rows.forEach((knob, parameter) => { knob.row.hidden = !stands(parameter, parameters, choice.params(one)); });
    for (const parameter of parameters) {
      const whole = parameter.kind === "integer" ? Math.round : (value) => value;
      const knob = createKnob(parameter, { onInput: (value) => { choice.setParam(one, parameter.name, typeof value === "number" ? whole(value) : value); show(); changed(); } });
      knob.set(choice.params(one)[parameter.name]);
      rows.set(parameter, knob);
    }
    numbers.hidden = rows.size === 0;
    fill(knobs, [...rows.values()].map((knob) => knob.row));
    show();
  }

  function drawExamples(one) {
    measured.hidden = !one.measures;
    const boxes = SPLITS.map(([name, title]) => {
      const box = h("input", { type: "checkbox", id: freshId("split"), checked: choice.splits(one).includes(name), onchange: tick });
      box.dataset.split = name;
      return h("label", { for: box.id }, box, title);
    });
    const subset = createChoice({ title: "measured on", help: offer.subset.help, choices: offer.subset.choices.map((value) => ({ value, title: SUBSETS[value] ?? value })), onInput: (value) => { choice.change({ subset: value }); changed(); } });
    subset.set(choice.subset(offer));
    fill(examples, h("div", { class: "geometry-splits", role: "group", "aria-label": "splits" }, boxes), subset.row);
    const seed = h("input", { type: "number", class: "number", id: freshId("seed"), min: 0, max: 4294967295, step: 1, value: choice.seed(offer), onchange: () => { if (Number.isInteger(seed.valueAsNumber)) { choice.change({ seed: seed.valueAsNumber }); changed(); } } });
    fill(foot, h("div", { class: "choice-row" }, h("label", { for: seed.id, title: "The same seed draws the same random numbers." }, "seed"), seed));
  }

  // One split stays ticked at least.
  function tick() {
    const boxes = [...examples.querySelectorAll("[data-split]")];
    const ticked = boxes.filter((box) => box.checked).map((box) => box.dataset.split);
    if (!ticked.length) this.checked = true;
    else {
      choice.changeOwn(info().name, { splits: ticked });
      changed();
    }
  }

  return { element, set };
}
