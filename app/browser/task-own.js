// Tasks of one's own inside Choose models: presets, a form for a data set, the job that prepares, and what is not prepared yet.

import { fill, h } from "./dom.js";
import { plain, titleOfSpec } from "./families.js";
import { bytes } from "./format.js";
import { createWatch, unfinished } from "./job-watch.js";
import { learn } from "./task-facts.js";
import { createTaskForm } from "./task-form.js";

// `models()` gives what is chosen, `known()` every reference that is listed, `use(chosen)` takes another choice, `changed()` hears that tasks came.
export function createOwnTasks(server, description, { models, known, use, changed }) {
  if (!server.tasks_list) return { element: null, show() {}, offer() {}, specs: () => [] };
  const said = h("div", { class: "task-said", role: "status" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the work that is done" });
  const what = h("span", { class: "hint" });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => watch.cancel(job.id) }, "Cancel");
  const going = h("div", { class: "going", hidden: true }, bar, stop, what);
  const presets = h("div", { class: "task-presets" });
  const waiting = h("div", { class: "task-waiting" });
  const form = createTaskForm(server, { models, known, ask, prepare });
  const element = h("details", { class: "uploads own-tasks", ontoggle: () => { if (element.open) element.scrollIntoView({ block: "nearest" }); } }, h("summary", {}, "Add a task", h("span", { class: "hint" }, "from a data set")),
    presets, form.element, waiting, going, said);
  let job = null;
  let ended = null;
  let current = null;
  const watch = createWatch(server, { next: () => (job && unfinished(job) ? job : null), onJob, onTrouble: (sentences) => say(sentences), goesOn: "The work goes on without this page." });

  // Tasks that this visitor had prepared, those of the family on the screen, and work that still goes on.
  async function show(family) {
    current = family;
    const answer = await ask(listed);
    if (!answer) return;
    hear(answer.tasks);
    form.offer(answer);
    drawWaiting();
    const list = server.presets_list ? await ask(() => server.presets_list({})) : null;
    fill(presets, (list?.presets ?? []).map((one) => h("button", { type: "button", class: "quiet boxed", title: one.sentence, onclick: () => load(one) }, one.title)));
    const jobs = await ask(() => server.job_list({ kind: "task" }));
    const running = jobs?.jobs.find(unfinished);
    if (running && !job) follow(running).then((done) => done && again());
  }

  function listed() {
    return server.tasks_list(current?.specs ? { family: current.name } : {});
  }

  async function again() {
    const answer = await ask(listed);
    if (answer) hear(answer.tasks);
    drawWaiting();
  }

  // Data were uploaded, or deleted: a task goes with the upload that it was made of.
  async function offer() {
    const answer = await ask(listed);
    if (!answer) return;
    form.offer(answer);
    const stay = answer.tasks.filter((task) => task.prepared).map((task) => task.name);
    const going = description.tasks.filter((task) => task.prepared && isOfUpload(task.spec) && !stay.includes(task.name));
    if (!going.length) return;
    for (const task of going) Object.assign(task, { prepared: false, gone: true });
    use({ ...models(), tasks: models().tasks.filter((name) => !going.some((task) => task.name === name)) });
    say([`Deleted with its upload: ${going.map((task) => task.title).join(", ")}.`], false);
  }

  function hear(tasks) {
    learn(description, tasks);
    changed();
  }

  function drawWaiting() {
    const missing = description.tasks.filter((task) => task.spec && task.prepared === false && !task.gone && models().tasks.includes(task.name));
    if (missing.length) element.open = true;
    fill(waiting, missing.length ? [h("p", {}, `Not prepared on this server: ${missing.map((task) => task.title).join(", ")}.`),
      h("button", { type: "button", class: "quiet boxed", onclick: () => prepare(missing.map((task) => task.spec), {}) }, "Prepare")] : null);
  }

  // Each task joins the choice once it is prepared; `experts` says which checkpoint was trained on which of them.
  async function prepare(specs, experts) {
    const answer = await ask(() => server.task_prepare({ specs }));
    if (!answer || !(await follow(answer.job))) return false;
    hear((await ask(() => server.tasks_list({})))?.tasks ?? []);
    const trained = Object.fromEntries(Object.entries(experts).map(([ref, place]) => [ref, answer.tasks[place].name]));
    const names = answer.tasks.map((task) => task.name);
    use({ ...models(), tasks: [...models().tasks.filter((name) => !names.includes(name)), ...names], trained: { ...models().trained, ...trained } });
    drawWaiting();
    say([`Prepared: ${answer.tasks.map((task) => task.title).join(", ")}.`], false);
    return true;
  }

  async function load(preset) {
    say([`Asking the Hub what ${preset.title} takes…`], false);
    const found = await ask(() => server.preset_look({ name: preset.name }));
    if (!found) return;
    const fits = await ask(() => server.models_check({ base: found.base, experts: found.experts.map(({ ref }) => ({ ref, task: null })), tasks: [] }));
    if (!fits) return;
    const { models: ours, data } = found.bytes;
    const words = ours + data ? `${bytes(ours)} of models and ${bytes(data)} of data are to be downloaded; ${bytes(found.free)} are free.` : "Everything is here.";
    const go = h("button", { type: "button", class: "quiet boxed", onclick: () => fetchAll(found) }, ours + data ? "Download and prepare" : "Choose them");
    fill(said, h("p", {}, `${preset.title}: ${preset.sentence} ${words}`), go);
    go.focus();
  }

  async function fetchAll(found) {
    fill(said);
    if (found.missing.length) {
      const answer = await ask(() => server.hub_download({ refs: found.missing }));
      if (!answer || !(await follow(answer.job))) return;
    }
    use({ base: found.base, experts: found.experts.map((expert) => expert.ref), tasks: [], trained: Object.fromEntries(found.experts.map((expert) => [plain(expert.ref), expert.task])) });
    const waits = found.waiting;
    if (waits.length && !(await prepare(waits, {}))) return;
    const rows = found.tasks.map((name, place) => ({ name, title: titleOfSpec(found.specs[place]), spec: found.specs[place], prepared: true }));
    hear(rows);
    use({ ...models(), tasks: found.tasks });
  }

  function follow(next) {
    job = next;
    going.hidden = false;
    element.open = true;
    return new Promise((resolve) => {
      ended = resolve;
      onJob(next);
      watch.watch();
    });
  }

  function onJob(next) {
    job = next;
    bar.value = job.share;
    what.textContent = job.what || job.title;
    if (unfinished(job)) return;
    going.hidden = true;
    say(job.problems.map((problem) => problem.sentence));
    ended?.(job.state === "done");
    ended = null;
  }

  async function ask(work) {
    try {
      const answer = await work();
      if (answer.ok) return answer;
      say(answer.problems.map((problem) => problem.sentence));
    } catch (error) {
      say([`The server does not answer (${error.message}). Try again in a moment.`]);
    }
    return null;
  }

  function say(sentences, trouble = true) {
    fill(said, sentences.slice(0, 4).map((sentence) => h("p", { class: trouble ? "trouble" : "" }, sentence)));
  }

  function specs(names) {
    return description.tasks.filter((task) => task.spec && names.includes(task.name)).map((task) => task.spec);
  }

  return { element, show, offer, specs };
}

function isOfUpload(spec) {
  return [spec?.source, spec?.model].some((ref) => ref?.startsWith("upload:"));
}
