// The visitor's exports and what was published of them: how far each is, its log, its files to download or its address.

import { fill, h } from "./dom.js";
import { bytes, clock } from "./format.js";
import { createWatch, unfinished } from "./job-watch.js";
import { createPublish, published } from "./publish.js";

const KINDS = ["export", "publish"];
const WORDS = { queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "cancelled" };

export function createJobs(server, { onChange, onTrouble }) {
  const element = h("div", { class: "export-jobs" });
  const rows = new Map();
  let asked = 0;
  const { watch, cancel, attempt } = createWatch(server, { next: () => running(), onJob: hear, onTrouble, goesOn: "What was begun goes on." });

  const running = () => [...rows.values()].map((found) => found.job).find((job) => unfinished(job)) ?? null;

  // The newest question counts: a job that was deleted meanwhile does not come back.
  async function list() {
    const mine = ++asked;
    const answer = await attempt(() => server.job_list({ kind: null }));
    if (answer && mine === asked) all(answer.jobs.filter((job) => KINDS.includes(job.kind)));
  }

  function all(jobs) {
    const known = new Set(jobs.map((job) => job.id));
    [...rows.keys()].filter((id) => !known.has(id)).forEach((id) => rows.delete(id));
    jobs.forEach((job) => show(job));
    fill(element, jobs.map((job) => rows.get(job.id).element));
    onChange(running());
    watch();
  }

  function show(job) {
    const found = rows.get(job.id) ?? createRow(job.id, { cancel, remove, publish, goOn });
    rows.set(job.id, found);
    found.show(job);
  }

  // The job that was just asked for, also when it was there already.
  function follow(job) {
    rows.forEach((found, id) => found.open(id === job.id));
  }

  // The form of an export, where the server has to do with the Hub.
  function publish(job) {
    if (job.kind !== "export" || job.state !== "done" || !server.publish_plan) return null;
    return createPublish(server, job, { onStarted: async (begun) => { await list(); follow(begun); } }).element;
  }

  function hear(job) {
    if (rows.has(job.id)) show(job);
    onChange(running());
  }

  // What was cut off is asked for again, with the words of then, and goes on where it was.
  async function goOn(asked) {
    const answer = await attempt(() => server.export_start(asked));
    if (!answer) return;
    await list();
    follow(answer.job);
  }

  async function remove(id) {
    const answer = await attempt(() => server.job_delete({ job: id }));
    if (answer) list();
  }

  return { element, list, follow };
}

function createRow(id, { cancel, remove, publish, goOn }) {
  const title = h("span", { class: "export-title" });
  const state = h("span", { class: "export-state", role: "status" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the work that is done" });
  const what = h("span", { class: "hint going-far" });
  const doing = h("span", { class: "hint" });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => cancel(id) }, "Cancel");
  const going = h("div", { class: "going" }, bar, stop, what, doing);
  const files = h("div", { class: "export-files" });
  const log = h("ol", { class: "export-log" });
  const lines = h("details", {}, h("summary", {}, "Log"), log);
  const drop = h("button", { type: "button", class: "quiet", onclick: () => remove(id) }, "Delete");
  const element = h("details", { class: "export-job" }, h("summary", {}, title, state), going, files, h("div", { class: "export-feet" }, lines, drop));
  const found = { element, job: null, show, open: (open) => { element.open = open; } };

  function show(job) {
    const before = found.job;
    found.job = job;
    if (before === null) element.open = unfinished(job);
    element.dataset.state = job.state;
    title.textContent = job.kind === "publish" ? `Publish ${job.title}` : job.title;
    state.textContent = stands(job);
    going.hidden = !unfinished(job);
    drop.hidden = unfinished(job);
    bar.value = job.share;
    what.textContent = job.state === "running" ? progress(job) : "";
    doing.textContent = job.state === "running" ? job.what || "starting" : "";
    if (before?.state !== job.state) fill(files, job.problems.map((problem) => h("p", { class: "export-problem" }, problem.sentence)), rest(job, goOn), fileList(job), published(job), publish(job));
    if (before?.log.length !== job.log.length) fill(log, job.log.map((line) => h("li", {}, h("time", { datetime: line.when }, clock(line.when)), line.text)));
  }

  return found;
}

function stands(job) {
  if (job.state === "queued" && job.ahead) return `waiting, ${job.ahead} before it`;
  if (job.rest) return `stopped at ${whole(job.share)}`;
  if (job.state === "running" && job.since) return `running, continues at ${whole(job.since)}`;
  return `${WORDS[job.state]}${job.finished ? ` ${clock(job.finished)}` : ""}`;
}

// Bytes, pace and the time that is left, where the work says them.
function progress(job) {
  const far = job.standing?.words ?? (job.done ? bytes(job.done) : "");
  return [whole(job.share), far].filter(Boolean).join(", ");
}

// What a killed process had written, kept for a while.
function rest(job, goOn) {
  if (!job.rest) return null;
  return h("p", { class: "export-rest" },
    h("button", { type: "button", class: "primary", onclick: () => goOn(job.rest.asked) }, `Continue at ${whole(job.share)}`), h("span", { class: "hint" }, `kept until ${clock(job.rest.until)}`));
}

function whole(share) {
  return `${Math.floor(100 * share)} %`;
}

function fileList(job) {
  if (!job.files.length) return null;
  const total = job.files.reduce((sum, file) => sum + file.bytes, 0);
  return [
    h("ul", {}, job.files.map((file) => h("li", {}, h("a", { href: address(job, `files/${encodeURIComponent(file.name)}`), download: file.name }, file.name), h("span", {}, bytes(file.bytes))))),
    h("a", { class: "export-all", href: address(job, "archive.tar"), download: `${job.name}.tar` }, `Download all (.tar, ${bytes(total)})`),
  ];
}

function address(job, rest) {
  return new URL(`exports/${job.id}/${rest}`, document.baseURI).href;
}
