// Choose models: any checkpoints that can be opened, of the zoo, of this machine and of the Hub, as base and experts, with the tasks
// they are measured on. What does not fit together is said here, before anything is downloaded or merged; what fits opens as a
// family of the visitor's own.

import { fill, h } from "./dom.js";
import { familyNamed, plain, sameChoice } from "./families.js";
import { bytes, count, duration } from "./format.js";
import { createDownload } from "./hub-download.js";
import { createHubSearch } from "./hub-search.js";
import { createKept } from "./kept.js";
import { createModelsTable, hubRow } from "./models-table.js";
import { createPopover } from "./popover.js";
import { createSentences } from "./sentences.js";
import { createOwnTasks } from "./task-own.js";
import { createUploads } from "./uploads.js";

const REST = 250;
const NOTHING = { base: null, experts: [], tasks: [], trained: {} };

export function createModels({ server, store, notice, description, open }) {
  if (!server.models_check) return {};
  const tasks = h("fieldset", { class: "models-tasks" });
  const said = h("div", { class: "models-said", role: "status" });
  const sentences = createSentences(said);
  const use = h("button", { type: "button", class: "primary", disabled: true, onclick: take }, "Merge these models");
  const table = createModelsTable(description, { get: () => chosen, set: choose, remove, tunedFrom: (id) => { search.tunedFrom(id); search.reach(); } });
  const search = createHubSearch(server, { onPick: pick, takenAs });
  const uploads = createUploads(server, { onChange: refresh });
  const own = createOwnTasks(server, description, { models: () => chosen, known: () => [...fromHub.keys(), ...offered.map((row) => row.ref)], use: (next) => choose(next), changed: onTasks });
  const download = createDownload(server, { onDone, onEnd, onTrouble, sentences });
  const clear = h("button", { type: "button", class: "quiet", onclick: () => choose(NOTHING) }, "Clear");
  const jump = h("button", { type: "button", class: "quiet models-jump", hidden: true, onclick: () => search.reach() }, "From the Hub ↓");
  const { button, panel, element } = createPopover({
    title: "Choose models", className: "models-panel", act: "models", says: "Choose base, experts and tasks", onOpen: show,
  }, h("div", { class: "models-body" },
    h("div", { class: "models-chosen" }, h("div", { class: "models-hint" }, h("p", { class: "hint" }, "Any checkpoints of one architecture. The base is what they were fine-tuned from; without one, weights are averaged."), clear, jump), table.element, uploads.element, tasks, own.element),
    search.element),
  h("div", { class: "models-foot" }, said, h("div", { class: "models-act" }, download.element, use)));
  let offered = [];
  let most = 0;
  let family = null;
  let chosen = NOTHING;
  let untouched = true;
  let answered = null;
  let ready = null;
  let turn = 0;
  let waiting = null;
  const fromHub = new Map();
  const begun = createKept("sessionStorage", "basin-choice");

  // A choice that was begun stays when the card is closed, and where this tab comes back from signing in, until another family is
  // looked at.
  async function show() {
    const current = familyNamed(description, store.get().family);
    if (current !== family) {
      if (family) begun.set(null);
      family = current;
      const trained = Object.fromEntries(current.experts.filter((one) => one.task).map((one) => [plain(one.ref), one.task]));
      chosen = { ...NOTHING, base: current.base ?? null, experts: current.experts.map((one) => one.ref), tasks: [...current.tasks], trained };
      const before = begun.get();
      untouched = before?.family !== current.name;
      if (!untouched) chosen = before.chosen;
    }
    label();
    const answer = await sentences.attempt(() => server.models_list({}));
    if (!answer) return;
    ({ checkpoints: offered, most } = answer);
    sentences.set(answer.hub ?? {});
    panel.classList.toggle("with-hub", Boolean(answer.hub?.offered));
    jump.hidden = !answer.hub?.offered;
    if (answer.hub?.offered) {
      const wanted = await download.find();
      if (wanted) {
        chosen = { ...NOTHING, ...wanted };
        untouched = false;
      }
    }
    choose(chosen);
    search.show(answer.hub);
    uploads.show();
    own.show(family);
  }

  // An upload came or went: one that is gone is chosen no more.
  async function refresh() {
    const answer = await sentences.attempt(() => server.models_list({}));
    if (!answer) return;
    offered = answer.checkpoints;
    own.offer();
    const stays = (ref) => !ref?.startsWith("upload:") || offered.some((row) => row.ref === plain(ref));
    choose({ ...chosen, experts: chosen.experts.filter(stays), base: stays(chosen.base) ? chosen.base : null });
  }

  function choose(next) {
    untouched = untouched && JSON.stringify(next) === JSON.stringify(chosen);
    chosen = next;
    if (!untouched) keep();
    for (const ref of [chosen.base, ...chosen.experts]) if (ref?.startsWith("hub:") && !fromHub.has(ref)) fromHub.set(ref, hubRow({ ref }));
    drawTable();
    drawTasks();
    search.marks();
    check();
  }

  // What was looked at joins the table. A base of the Hub takes the place of a family that was only found here.
  function pick(checkpoint, role) {
    const row = hubRow(checkpoint);
    fromHub.set(row.ref, row);
    const experts = chosen.experts.filter((ref) => ref !== row.ref);
    const base = chosen.base === row.ref ? null : chosen.base;
    if (role === "base") choose(untouched ? { ...NOTHING, base: row.ref } : { ...chosen, base: chosen.base === row.ref ? null : row.ref, experts });
    else choose({ ...chosen, base, experts: experts.length < chosen.experts.length ? experts : [...experts, row.ref] });
    table.reveal(row.ref);
  }

  function takenAs(id) {
    if (idOf(chosen.base) === id) return "base";
    return chosen.experts.some((ref) => idOf(ref) === id) ? "expert" : null;
  }

  function remove(ref) {
    fromHub.delete(ref);
    choose({ ...chosen, base: chosen.base === ref ? null : chosen.base, experts: chosen.experts.filter((one) => one !== ref) });
    clear.focus();
  }

  function onTasks() {
    drawTasks();
    drawTable();
    check();
  }

  function keep() {
    begun.set({ family: family?.name ?? null, chosen });
  }

  function drawTable() {
    table.draw([...fromHub.values(), ...offered]);
  }

  function drawTasks() {
    fill(tasks, h("legend", {}, "measured on"), description.tasks.filter((task) => !task.gone).map((task) => h("label", {},
      h("input", { type: "checkbox", checked: chosen.tasks.includes(task.name), onchange: (event) => {
        const rest = chosen.tasks.filter((name) => name !== task.name);
        chosen = { ...chosen, tasks: event.target.checked ? [...rest, task.name] : rest };
        untouched = false;
        keep();
        drawTable();
        check();
      } }), `${task.title} `, h("small", {}, task.spec ? "yours" : task.name.split("/")[0]))));
  }

  // The newest choice counts; it is asked about once it rests. What was answered holds while the same is asked again.
  function check() {
    label();
    clearTimeout(waiting);
    waiting = setTimeout(ask, REST);
  }

  async function ask() {
    const mine = ++turn;
    clearTimeout(waiting);
    if (chosen.base === null && chosen.experts.length === 0) return sentences.say("Nothing is chosen yet. Tick a base and its experts.");
    const message = question();
    let overtaken = false;
    const answer = await sentences.attempt(async () => {
      const heard = await server.models_check(message);
      overtaken = heard.superseded;
      return heard;
    }, () => mine === turn);
    if (mine !== turn) return;
    if (overtaken) return check();
    const wanted = ready;
    ready = null;
    answered = answer && { ...answer, about: JSON.stringify(message) };
    label();
    if (!answer) return;
    for (const row of answer.checkpoints) if (fromHub.has(row.ref)) Object.assign(fromHub.get(row.ref), { bytes: row.bytes, adapter: row.adapter, missing: missing(answer).find((one) => one.ref === row.ref)?.bytes ?? 0 });
    table.sizes();
    tell(answer);
    if (wanted) goOn(wanted);
  }

  function question() {
    const tasks = description.tasks.map((task) => task.name).filter((name) => chosen.tasks.includes(name));
    return { base: chosen.base, experts: chosen.experts.map((ref) => ({ ref, task: taskOf(ref) })), tasks, specs: own.specs(chosen.tasks) };
  }

  // What a visitor's own task is made of goes along only while it is measured on; an expert that was trained on another has none.
  function taskOf(ref) {
    const task = table.taskOf(ref);
    const own = description.tasks.find((one) => one.name === task)?.spec;
    return own && !chosen.tasks.includes(task) ? null : task;
  }

  function tell(answer) {
    const first = answer.checkpoints.find((one) => !one.adapter);
    const adapters = answer.checkpoints.filter((one) => one.adapter).length;
    const many = answer.checkpoints.length;
    const fit = `They fit: ${many} checkpoint${many > 1 ? "s" : ""} of ${first.architecture || "one architecture"}, ${count(first.parameters)} parameters in ${count(first.leaves)} leaves each${adapters ? `, ${adapters === 1 ? "1 of them a LoRA adapter" : `${adapters} of them LoRA adapters`} on the base` : ""}; at most ${most} experts.`;
    const lacks = missing(answer).length > 0;
    fill(said, h("p", {}, fit), lacks ? h("p", {}, `${bytes(answer.bytes)} are to be downloaded, ${bytes(answer.free)} are free, about ${duration(answer.seconds)}.`) : null,
      (answer.warnings ?? []).map((text) => h("p", { class: "caution" }, text)));
  }

  function missing(answer) {
    return answer?.missing ?? [];
  }

  function label() {
    if (answered?.about !== JSON.stringify(question())) answered = null;
    use.disabled = answered === null || download.isGoing();
    use.textContent = missing(answered).length ? "Download, then merge" : "Merge these models";
  }

  async function take() {
    if (answered === null) return;
    if (missing(answered).length === 0) return merge(answered.state);
    use.disabled = true;
    await download.start(missing(answered).map((one) => one.ref), chosen);
    label();
  }

  // The models that are looked at already keep their recipe, such as that of the link which named them.
  function merge(state) {
    family = null;
    begun.set(null);
    if (panel.matches(":popover-open")) panel.hidePopover();
    open(sameChoice(state.family, store.get().family) ? store.get() : state);
    button.focus();
  }

  function onDone(wanted) {
    ready = wanted;
    ask();
  }

  // It opens by itself where the card still stands with the same models; else there is a way to it.
  function goOn(wanted) {
    if (answered === null || missing(answered).length || JSON.stringify(wanted) !== JSON.stringify(chosen)) return;
    const { state } = answered;
    if (panel.matches(":popover-open")) merge(state);
    else notice.offer("The models that you chose are downloaded.", "Merge them", () => merge(state));
  }

  function onEnd(problems) {
    check();
    if (!problems.length) return;
    ask().then(() => sentences.show(problems));
  }

  function onTrouble(texts) {
    if (texts.length) sentences.show(texts.map((sentence) => ({ sentence })));
    else check();
  }

  // Models of a link that are not on the server are downloaded here.
  function wayOut(problems) {
    return problems.some((problem) => problem.fix.includes("Choose models")) ? ["Choose models", () => panel.showPopover()] : null;
  }

  return { rail: element, wayOut };
}

function idOf(ref) {
  return ref?.startsWith("hub:") ? ref.slice("hub:".length).split("@")[0] : ref;
}
