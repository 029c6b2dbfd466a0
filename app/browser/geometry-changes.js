// Pictures as they are and as each change makes them, one example of each task at a time, and what every model says to them.

import { fill, h } from "./dom.js";
import { toneOf } from "./families.js";
import { createNewest } from "./newest.js";
import { tile } from "./pictures.js";

const SIDE = 56;
const MOST = 12;

export function createGeometryChanges({ server, store }) {
  const other = h("button", { type: "button", class: "quiet", onclick: () => { turn += 1; look(); } }, "Other examples");
  const said = h("p", { class: "hint" });
  const table = h("table", {});
  const element = h("section", { class: "panel geometry-changes", "aria-label": "Changed pictures", hidden: true },
    h("header", {}, h("h3", {}, "Changed pictures"), h("span", { class: "spacer" }), other), said, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changed pictures and answers" }, table));
  const newest = createNewest(ask, draw);
  let answer = null;
  let turn = 0;
  let wanted = "";

  function show(found) {
    answer = found;
    element.hidden = (found.numbers.examples ?? []).length === 0;
    if (!element.hidden) look();
  }

  // Of each task one example; when all were shown, the first again.
  function look() {
    const { examples, interventions } = answer.numbers;
    const rows = [...new Set(examples.map((row) => row.task))].map((task) => examples.filter((row) => row.task === task)).map((own) => own[turn % own.length]).slice(0, MOST);
    const key = JSON.stringify([rows, interventions.map((change) => change.name)]);
    if (key === wanted) return;
    wanted = key;
    newest({ rows, interventions, spec: answer.spec, about: answer.about });
  }

  function ask({ rows, spec }) {
    return server.geometry_changes({ state: store.get(), spec, split: rows[0].split, examples: rows.map(({ task, example }) => ({ task, example })) });
  }

  function draw(pictures, _, { rows, interventions, about }) {
    if (!pictures.ok) {
      wanted = "";
      said.textContent = pictures.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    said.textContent = `From ${rows[0].split}, one example of each task: its class, and what each model says to the picture as it is and changed. Wrong answers are underlined.`;
    fill(table,
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "task"), h("th", { scope: "col" }, "as it is"), interventions.map((change) => h("th", { scope: "col", title: change.sentence }, change.title)))),
      h("tbody", {}, rows.map((row, i) => line(row, pictures, i, interventions, about))));
    element.dataset.split = rows[0].split;
  }

  function line(row, pictures, i, interventions, about) {
    const task = about.tasks.find((entry) => entry.task === row.task)?.title ?? row.task;
    const names = ["", ...interventions.map((change) => change.name)];
    return h("tr", {}, h("th", { scope: "row" }, task, h("span", { class: "truth" }, row.label)),
      names.map((name) => h("td", {}, picture(pictures, i, name), (row.answers[name] ?? []).map((said, place) => words(said, row.label, about.models[place])))));
  }

  function picture(pictures, i, name) {
    const sprite = pictures.sprites[i];
    const place = ["", ...pictures.changes].indexOf(name);
    return sprite && place >= 0 ? tile(sprite, place, SIDE) : null;
  }

  return { element, show };
}

function words(said, label, model) {
  return h("span", { class: "said", title: `${model.title}: ${said ?? "no answer"}` },
    h("span", { class: "mark dot", "aria-hidden": "true", style: { "--tone": toneOf(model) } }), h("span", { class: "sr-only" }, `${model.title} says `),
    h("span", { class: said === label ? "" : "wrong" }, said ?? "no answer"));
}
