// A study that learns goes on as a job of the server: what will happen is said before, the figures grow while it goes on, and
// a page that comes back finds it again.

import { fill, h } from "./dom.js";
import { duration } from "./format.js";
import { createWatch, unfinished } from "./job-watch.js";

const LOOK_EVERY = 400;
const LOST_EVERY = 2000;
const WORDS = { queued: "waits for its turn", running: "goes on", done: "done", failed: "stopped by an error", cancelled: "stopped", interrupted: "stopped with the server" };

export function createGeometryJob({ server, answered, wanted }) {
  const words = h("p", {});
  const state = h("span", { class: "stage", role: "status" });
  const start = h("button", { type: "button", class: "primary", onclick: begin }, "Go on in the background");
  const stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: end }, "Stop");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const element = h("section", { class: "panel geometry-job", "aria-label": "The long part", hidden: true }, words, h("div", { class: "acts" }, start, stop, state), trouble);
  let current = null;
  let turn = 0;

  // What comes next takes minutes; a job that is at it already is watched.
  async function offer(numbers) {
    element.hidden = false;
    start.hidden = false;
    const time = numbers.seconds ? ` It takes about ${duration(numbers.seconds)}.` : " It takes some minutes.";
    words.textContent = `${numbers.next ?? "Next, this study learns from examples."}${time} It goes on without the page, and the figure grows while you look.`;
  }

  function hide() {
    turn += 1;
    current = null;
    element.hidden = true;
    start.hidden = false;
    stop.hidden = true;
    state.textContent = "";
    fill(trouble);
  }

  async function begin() {
    start.disabled = true;
    fill(trouble);
    try {
      const answer = await server.geometry_start(wanted());
      if (answer.ok) watch(answer.job);
      else refuse(answer.problems);
    } catch (error) {
      refuse([{ sentence: `The server does not answer (${error.message}).` }]);
    }
    start.disabled = false;
  }

  async function watch(job) {
    turn += 1;
    const mine = turn;
    current = job;
    let seen = null;
    draw(job);
    while (mine === turn) {
      let answer = null;
      try {
        answer = await server.geometry_watch({ job: job.id, ...(seen ? { seen } : {}) });
      } catch {
        await pause(LOST_EVERY);
        continue;
      }
      if (mine !== turn) return;
      if (!answer.ok) return refuse(answer.problems);
      seen = answer.seen;
      current = answer.job;
      draw(answer.job);
      if (answer.numbers) await answered(answer);
      if (!unfinished(answer.job)) return;
      await pause(LOOK_EVERY);
    }
  }

  function draw(job) {
    element.hidden = false;
    element.dataset.state = job.state;
    const going = unfinished(job);
    start.hidden = going || job.state === "done";
    stop.hidden = !going;
    state.textContent = WORDS[job.state] ?? job.state;
    fill(trouble, (job.problems ?? []).map((problem) => h("p", {}, problem.sentence)));
  }

  async function end() {
    stop.disabled = true;
    try {
      await server.job_cancel({ job: current.id });
    } catch (error) {
      refuse([{ sentence: `The server does not answer (${error.message}).` }]);
    }
    stop.disabled = false;
  }

  function refuse(problems) {
    fill(trouble, problems.map((problem) => h("p", {}, problem.sentence)));
  }

  return { element, offer, hide, watch };
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}
