// Choose models: any checkpoints that can be opened, as base and experts, with the tasks they are measured on. What does not
// fit together is said here, before anything is merged; what fits opens as a family of the visitor's own.

import { fill, freshId, h } from "./dom.js";
import { familyNamed, plain } from "./families.js";
import { count } from "./format.js";
import { createPopover } from "./popover.js";
import { createUploads, shortRef } from "./uploads.js";

const REST = 250;
const SHOWN = 3;

export function createModels({ server, store, description, open }) {
  if (!server.models_check) return {};
  const group = freshId("base");
  const table = h("div", { class: "models-table", tabindex: "0", role: "group", "aria-label": "checkpoints" });
  const tasks = h("fieldset", { class: "models-tasks" });
  const said = h("div", { class: "models-said", role: "status" });
  const use = h("button", { type: "button", class: "primary", disabled: true, onclick: take }, "Merge these models");
  const uploads = createUploads(server, { onChange: refresh });
  const { button, panel, element } = createPopover({
    title: "Choose models", className: "models-panel", act: "models", says: "Choose base, experts and tasks", onOpen: show,
  }, h("p", { class: "hint" }, "Any checkpoints of one architecture. The base is what they were fine-tuned from; without one, weights are averaged."),
  table, uploads.element, tasks, said, use);
  let rows = [];
  let most = 0;
  let chosen = { base: null, experts: [], tasks: [] };
  let ready = null;
  let turn = 0;
  let waiting = null;

  async function show() {
    const family = familyNamed(description, store.get().family);
    chosen = { base: family.base ?? null, experts: family.experts.map((one) => one.ref), tasks: [...family.tasks] };
    const answer = await asked(() => server.models_list({}));
    if (!answer) return;
    ({ checkpoints: rows, most } = answer);
    draw();
    check();
    uploads.show();
  }

  // An upload came or went: one that is gone is chosen no more.
  async function refresh() {
    const answer = await asked(() => server.models_list({}));
    if (!answer) return;
    ({ checkpoints: rows } = answer);
    const stays = (ref) => !ref?.startsWith("upload:") || rows.some((row) => row.ref === plain(ref));
    const experts = chosen.experts.filter(stays);
    const changed = experts.length < chosen.experts.length || !stays(chosen.base);
    chosen = { ...chosen, experts, base: stays(chosen.base) ? chosen.base : null };
    draw();
    if (changed) check();
  }

  function draw() {
    const groups = [...new Set(rows.map((row) => row.group))];
    fill(table, h("table", {}, h("caption", { class: "sr-only" }, "Checkpoints that can be merged"),
      h("thead", {}, h("tr", {}, ["base", "expert", "checkpoint", "trained on"].map((text) => h("th", { scope: "col" }, text)))),
      groups.map((title) => h("tbody", {},
        h("tr", { class: "group" }, h("th", { colspan: 4, scope: "rowgroup" }, title)),
        rows.filter((row) => row.group === title).map(entry))),
      h("tbody", {}, h("tr", {}, h("td", {}, radio(null, "no base")), h("td", {}), h("th", { scope: "row", colspan: 2 }, "no base")))));
    drawTasks();
  }

  function entry(row) {
    return h("tr", {}, h("td", {}, radio(row.ref, `${row.ref} as base`)), h("td", {}, tick(row)),
      h("th", { scope: "row" }, row.title, h("small", {}, shortRef(row.ref))), h("td", {}, titleOf(row.task)));
  }

  function radio(ref, says) {
    const at = chosen.base === null ? null : plain(chosen.base);
    return h("input", { type: "radio", name: group, "aria-label": says, checked: at === ref, onchange: () => {
      chosen = { ...chosen, base: ref, experts: chosen.experts.filter((one) => plain(one) !== ref) };
      draw();
      check();
    } });
  }

  function tick(row) {
    const isBase = chosen.base !== null && plain(chosen.base) === row.ref;
    return h("input", { type: "checkbox", "aria-label": `${row.ref} as expert`, checked: chosen.experts.some((one) => plain(one) === row.ref), disabled: isBase, onchange: (event) => {
      const without = chosen.experts.filter((one) => plain(one) !== row.ref);
      const experts = event.target.checked ? [...without, row.ref] : without;
      const order = (ref) => rows.findIndex((one) => one.ref === plain(ref));
      chosen = { ...chosen, experts: experts.sort((a, b) => order(a) - order(b)), tasks: tasksOf(experts, row, event.target.checked) };
      drawTasks();
      check();
    } });
  }

  // The task of an expert that joins comes with it; one that nobody was trained on any more stays until it is unticked.
  function tasksOf(experts, row, joins) {
    return joins && row.task && !chosen.tasks.includes(row.task) ? [...chosen.tasks, row.task] : chosen.tasks;
  }

  function drawTasks() {
    fill(tasks, h("legend", {}, "measured on"), description.tasks.map((task) => h("label", {},
      h("input", { type: "checkbox", checked: chosen.tasks.includes(task.name), onchange: (event) => {
        const rest = chosen.tasks.filter((name) => name !== task.name);
        chosen = { ...chosen, tasks: event.target.checked ? [...rest, task.name] : rest };
        check();
      } }), `${task.title} `, h("small", {}, task.name.split("/")[0]))));
  }

  function titleOf(name) {
    return description.tasks.find((task) => task.name === name)?.title ?? "";
  }

  // The newest choice counts; it is asked about once it rests.
  function check() {
    ready = null;
    use.disabled = true;
    clearTimeout(waiting);
    waiting = setTimeout(ask, REST);
  }

  async function ask() {
    const mine = ++turn;
    const taskOf = (ref) => rows.find((row) => row.ref === plain(ref))?.task ?? null;
    const answer = await asked(() => server.models_check({
      base: chosen.base, experts: chosen.experts.map((ref) => ({ ref, task: taskOf(ref) })), tasks: description.tasks.map((task) => task.name).filter((name) => chosen.tasks.includes(name)),
    }), () => mine === turn);
    if (!answer || mine !== turn) return;
    ready = answer.state;
    use.disabled = false;
    const [first] = answer.checkpoints;
    const many = answer.checkpoints.length;
    fill(said, h("p", {}, `They fit: ${many} checkpoint${many > 1 ? "s" : ""} of ${first.architecture || "one architecture"}, ${count(first.parameters)} parameters in ${count(first.leaves)} leaves each; at most ${most} experts.`));
  }

  async function asked(work, wanted = () => true) {
    let sentences;
    try {
      const answer = await work();
      if (answer.ok || !wanted()) return answer.ok ? answer : null;
      sentences = answer.problems.map((problem) => problem.sentence);
    } catch (error) {
      sentences = [`The server does not answer (${error.message}). Try again in a moment.`];
    }
    const more = sentences.length - SHOWN;
    if (wanted()) fill(said, sentences.slice(0, SHOWN).map((sentence) => h("p", { class: "trouble" }, sentence)), more > 0 ? h("p", { class: "hint" }, `and ${count(more)} more of this kind`) : null);
    return null;
  }

  function take() {
    if (ready === null) return;
    panel.hidePopover();
    open(ready);
    button.focus();
  }

  return { rail: element };
}
