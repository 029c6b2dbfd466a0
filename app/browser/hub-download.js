// A download of chosen models: how far it is, a way to stop it, and what to do when it is there. It goes on without the page; whoever
// comes back finds it, with what it was for.

import { fill, h } from "./dom.js";
import { bytes } from "./format.js";
import { createWatch, unfinished } from "./job-watch.js";
import { createKept } from "./kept.js";

// `onDone(wanted)` when one that was seen running has ended well, `onEnd(problems)` when it has not; `onTrouble` hears sentences,
// none once the server is back.
export function createDownload(server, { onDone, onEnd, onTrouble, sentences }) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the download that is done" });
  const what = h("span", { class: "hint" });
  const state = h("span", { class: "sr-only", role: "status" });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => cancel(current.id) }, "Cancel");
  const element = h("div", { class: "going hub-going", hidden: true }, bar, stop, what, state);
  const { watch, cancel, attempt } = createWatch(server, { next: () => current, onJob: hear, onTrouble, goesOn: "The download goes on." });
  const kept = createKept("localStorage", "basin-download");
  let current = null;
  let purpose = null;

  async function start(refs, wanted) {
    const answer = await sentences.attempt(() => server.hub_download({ refs }));
    if (!answer) return false;
    purpose = { job: answer.job.id, wanted };
    kept.set(purpose);
    hear(answer.job);
    follow();
    return true;
  }

  // What the newest one that goes on was for, or the one that ended well while no page stood open.
  async function find() {
    if (current) return null;
    const before = kept.get();
    const answer = await attempt(() => server.job_list({ kind: "download" }));
    if (!answer) return null;
    const job = answer.jobs.find(unfinished);
    if (job) {
      purpose = before?.job === job.id ? before : null;
      hear(job);
      follow();
      return purpose?.wanted ?? null;
    }
    kept.set(null);
    return answer.jobs.some((one) => one.id === before?.job && one.state === "done") ? before.wanted : null;
  }

  // One that the server has forgotten is over.
  async function follow() {
    if (!(await watch()) || !current) return;
    current = null;
    element.hidden = true;
    onEnd([]);
  }

  function hear(job) {
    const before = current;
    current = unfinished(job) ? job : null;
    element.hidden = current === null;
    bar.value = job.share;
    what.textContent = words(job);
    if (before?.state !== job.state) state.textContent = { queued: "The download waits.", running: "Downloading.", done: "Downloaded.", cancelled: "The download was cancelled.", failed: "The download failed." }[job.state];
    if (current) return;
    const wanted = purpose?.job === job.id ? purpose.wanted : null;
    purpose = null;
    kept.set(null);
    if (job.state === "done") onDone(wanted);
    else onEnd(job.problems);
  }

  return { element, start, find, isGoing: () => current !== null };
}

function words(job) {
  if (job.state === "queued") return job.ahead ? `${job.title}: waiting, ${job.ahead} before it` : `${job.title}: waiting`;
  return [`${Math.floor(100 * job.share)} %`, job.done ? bytes(job.done) : "", job.what || job.title].filter(Boolean).join(", ");
}
