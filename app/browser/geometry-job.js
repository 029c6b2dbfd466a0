// A study that learns goes on as a job of the server: what will happen is said before, the figures grow while it goes on, and
// a page that comes back finds it again.

import { fill, h } from "./dom.js";
import { duration } from "./format.js";
import { unfinished } from "./job-watch.js";
import { createKept } from "./kept.js";

const LOOK_EVERY = 400;
const LOST_EVERY = 2000;
const KEPT = 20;
const WORDS = { queued: "waits for its turn", running: "goes on", done: "done", failed: "stopped by an error", cancelled: "stopped; what it has learned is kept", interrupted: "stopped with the server" };

// `wanted()` is what is asked; `answered` hears every new answer of the job, `begun` that the page need not ask itself any more.
export function createGeometryJob({ server, wanted, answered, begun }) {
  const kept = createKept("localStorage", "basin-geometry-jobs");
  const words = h("p", {});
  const state = h("span", { class: "stage", role: "status" });
  const start = h("button", { type: "button", class: "primary", onclick: begin }, "Train it in the background");
  const stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: end }, "Stop");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const element = h("section", { class: "panel geometry-job", "aria-label": "Training", hidden: true }, words, h("div", { class: "acts" }, start, stop, state), trouble);
  let key = null;
  let job = null;
  let turn = 0;

  // Said as soon as the study is looked at; a job that is at it already is watched.
  function offer({ spec, numbers }) {
    const next = JSON.stringify(spec);
    const time = numbers.seconds ? `about ${duration(numbers.seconds)}` : "seconds for a small network and minutes for a large one";
    words.textContent = `${numbers.next ?? "This study learns from examples of the train split."} That takes ${time}; it goes on without the page, and the figures grow while you look.`;
    element.hidden = false;
    if (next === key) return;
    hide();
    key = next;
    element.hidden = false;
    const found = (kept.get() ?? []).find((one) => one.key === key);
    if (found) watch(found.job, true);
  }

  function hide() {
    turn += 1;
    [key, job] = [null, null];
    element.hidden = true;
    start.hidden = false;
    stop.hidden = true;
    state.textContent = "";
    fill(trouble);
  }

  async function begin() {
    start.disabled = true;
    const mine = key;
    const answer = await ask(() => server.geometry_start(wanted()));
    start.disabled = false;
    if (!answer || mine !== key) return;
    kept.set([{ key, job: answer.job.id }, ...(kept.get() ?? []).filter((one) => one.key !== key)].slice(0, KEPT));
    draw(answer.job);
    watch(answer.job.id);
  }

  // One that the server knows no more is begun anew by the button.
  async function watch(id, again = false) {
    turn += 1;
    const mine = turn;
    let seen = null;
    while (mine === turn) {
      const answer = await server.geometry_watch({ job: id, ...(seen ? { seen } : {}) }).catch(() => null);
      if (mine !== turn) return;
      if (answer && !answer.ok) return again ? null : refuse(answer.problems);
      if (answer) {
        seen = answer.seen;
        if (unfinished(answer.job)) begun();
        draw(answer.job);
        if (answer.numbers) await answered(answer);
        if (answer.complete) element.hidden = true;
        if (!unfinished(answer.job)) return;
      }
      await new Promise((done) => setTimeout(done, answer ? LOOK_EVERY : LOST_EVERY));
    }
  }

  function draw(next) {
    job = next;
    element.dataset.state = job.state;
    const going = unfinished(job);
    start.hidden = going || job.state === "done";
    stop.hidden = !going;
    state.textContent = `${WORDS[job.state] ?? job.state}${going && job.ahead ? `, ${job.ahead} before it` : ""}`;
    if (job.problems?.length) refuse(job.problems);
    else fill(trouble);
  }

  async function end() {
    stop.disabled = true;
    const answer = await ask(() => server.job_cancel({ job: job.id }));
    stop.disabled = false;
    if (answer) draw(answer.job);
  }

  async function ask(work) {
    fill(trouble);
    try {
      const answer = await work();
      if (answer.ok) return answer;
      refuse(answer.problems);
    } catch (error) {
      refuse([{ sentence: `The server does not answer (${error.message}). Nothing is lost; try again in a moment.` }]);
    }
    return null;
  }

  function refuse(problems) {
    fill(trouble, problems.map((problem) => h("p", {}, problem.sentence)));
  }

  return { element, offer, hide };
}
