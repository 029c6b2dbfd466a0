// Look closer at one task of the settled merge: its classes, what is taken for what, and the pictures that merge and expert see differently.

import { createChart } from "./chart.js";
import { CLASSES, CONFUSION } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { familyNamed } from "./families.js";
import { count, percent, plusMinus } from "./format.js";
import { createInView, createNewest } from "./newest.js";
import { tile } from "./pictures.js";
import { createTradeOff } from "./trade-off.js";

export function createLookCloser({ server, store, theme, description }) {
  if (!server.look_closer) return {};
  const chooser = h("span", {});
  const stage = h("span", { class: "stage" });
  const summary = h("p", { class: "summary", role: "status" });
  const plots = { classes: plot(), confusion: plot() };
  const classTable = h("div", { class: "sr-only" });
  const lost = h("div", { class: "strip-box" });
  const gained = h("div", { class: "strip-box" });
  const mistakes = h("p", { class: "hint" });
  const matrix = h("div", { class: "matrix" });
  const tools = { classes: createChartTools(CLASSES, theme), confusion: createChartTools(CONFUSION, theme) };
  const tradeOff = createTradeOff({ server, theme });
  const element = h("section", { class: "panel look-closer", "aria-label": "Look closer", tabindex: "-1" },
    h("header", {}, h("h2", {}, "Look closer"), chooser, stage, summary),
    h("div", { class: "look-body" },
      h("div", { class: "look-left" },
        h("div", { class: "chart-head" }, h("h3", {}, "Accuracy of each class: bars the merge with 95 % intervals, ticks its expert"), tools.classes.element), plots.classes, classTable,
        h("div", { class: "strips" }, lost, gained)),
      h("div", { class: "look-right" },
        h("div", { class: "chart-head" }, h("h3", {}, "Confusion of the merge: rows true, columns predicted"), tools.confusion.element), plots.confusion, mistakes,
        h("details", {}, h("summary", {}, "the same as a table"), matrix))),
    tradeOff.element);
  const charts = { classes: createChart(plots.classes, theme), confusion: createChart(plots.confusion, theme) };

  let family = null;
  let task = null;
  let choice = null;
  let stale = true;
  const inView = createInView(element, refresh);
  const newest = createNewest((message) => server.look_closer(message), draw);

  function set(state) {
    if (family?.name === state.family) return;
    family = familyNamed(description, state.family);
    choice = createChoice({ title: "task", choices: family.tasks.map((name) => ({ value: name, title: titleOf(name) })), onInput: show });
    fill(chooser, choice.row);
    tradeOff.set(family);
    element.hidden = family.tasks.length === 0;
    if (element.hidden) task = null;
    else show(family.tasks[0]);
  }

  function titleOf(name) {
    return description.tasks.find((one) => one.name === name)?.title ?? name;
  }

  function show(name) {
    task = name;
    choice.set(name);
    tradeOff.follow(name);
    stale = true;
    refresh();
  }

  // A task chosen on the accuracy chart brings the panel into view.
  function open(name) {
    if (!family.tasks.includes(name)) return;
    show(name);
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
    element.focus({ preventScroll: true });
  }

  function refresh() {
    if (!stale || !inView() || task === null) return;
    stale = false;
    newest({ state: store.get(), task });
  }

  // It follows merges that have settled, not each step of a slider.
  function answer(kind, _, isNewest) {
    if (kind !== "settle" || !isNewest) return;
    stale = true;
    refresh();
  }

  async function draw(found, last) {
    if (!found.ok) {
      if (last) stage.textContent = found.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const { numbers, figures } = found;
    if (numbers.task !== task) return;
    stage.textContent = `${numbers.split}, all ${count(numbers.n)}`;
    const { expert } = numbers;
    summary.textContent = `merge ${percent(numbers.accuracy, numbers.interval)} ${plusMinus(numbers.interval)} %${expert ? `, expert ${expert.title} ${percent(expert.accuracy, expert.interval)} ${plusMinus(expert.interval)} %` : ""}`;
    mistakes.textContent = numbers.mistakes.length
      ? `Most often: ${numbers.mistakes.map((one) => `${one.truth} taken for ${one.said} (${one.count})`).join(", ")}.` : "Nothing is confused.";
    const words = `${titleOf(numbers.task)}, ${stage.textContent} examples`;
    for (const name of ["classes", "confusion"]) tools[name].show({ figure: figures[name], numbers, words, hash: numbers.hash });
    fill(classTable, readableClasses(numbers));
    fill(matrix, readableMatrix(numbers));
    fill(lost, pictures(numbers.lost, "The merge is wrong, its expert right", "merge", numbers));
    fill(gained, pictures(numbers.gained, "The merge is right, its expert wrong", "expert", numbers));
    await Promise.all([charts.classes.draw(figures.classes), charts.confusion.draw(figures.confusion)]);
    element.dataset.task = numbers.task;
    element.dataset.seq = found.seq;
  }

  return { panel: element, state: set, answer, task: open };
}

function plot() {
  return h("div", { class: "plot", "aria-hidden": "true" });
}

// The pictures that one of the two gets wrong, each with its true class and what that one took it for.
function pictures(group, title, mistaken, { n, expert }) {
  if (!group) return [h("h3", {}, title), h("p", { class: "hint" }, "No expert was trained on this task.")];
  const who = mistaken === "merge" ? "merge" : expert.title;
  return [
    h("h3", {}, `${title}: ${group.n} of ${count(n)}${group.n > group.pictures.length ? `, the first ${group.pictures.length}` : ""}`),
    group.n === 0 ? h("p", { class: "hint" }, "None.") : h("ul", { class: "tiles", tabindex: "0", "aria-label": title }, group.pictures.map((picture, i) =>
      h("li", { title: `true ${picture.truth}, merge ${picture.merge}, expert ${picture.expert}` }, tile(group.sprite, i, 40),
        h("span", { class: "truth" }, h("span", { class: "sr-only" }, "true "), picture.truth),
        h("span", { class: "said" }, h("span", { class: "sr-only" }, `${who} says `), h("span", { "aria-hidden": "true" }, "→ "), picture[mistaken])))),
  ];
}

function readableClasses(numbers) {
  const head = ["class", "accuracy", "interval", "right", "n", "expert"];
  return h("table", {}, h("caption", {}, `Accuracy of each class in percent, ${numbers.split} split`),
    h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, numbers.classes.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name),
      [percent(row.accuracy), row.interval?.map((end) => percent(end)).join(" to "), row.right, row.n, percent(row.expert)].map((text) => h("td", {}, String(text ?? "–")))))));
}

function readableMatrix({ classes, confusion }) {
  const silent = confusion.unanswered.some((value) => value > 0);
  return h("table", { class: "counts" }, h("caption", { class: "sr-only" }, "How often each true class (row) is predicted as each class (column)"),
    h("thead", {}, h("tr", {}, h("td", {}, "true \\ predicted"), classes.map((one) => h("th", { scope: "col" }, one.name)), silent ? h("th", { scope: "col" }, "no answer") : null)),
    h("tbody", {}, confusion.counts.map((row, i) => h("tr", {}, h("th", { scope: "row" }, classes[i].name),
      row.map((value, j) => h("td", { class: i === j ? "right" : value ? "" : "none" }, String(value))), silent ? h("td", {}, String(confusion.unanswered[i])) : null))));
}
