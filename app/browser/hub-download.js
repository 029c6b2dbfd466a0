// A download of chosen models: how far it is, a way to stop it, and what to do when it is there. It goes on without the page; whoever
// comes back finds it, with what it was for.

import { fill, h } from "./dom.js";
import { bytes } from "./format.js";
import { createWatch, unfinished } from "./job-watch.js";

const KEPT = "basin-download";

// `onDone(wanted)` when one that was seen running has ended well, `onEnd()` when it has not.
export function createDownload(server, { onDone, onEnd, sentences }) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the download that is done" });
  const what = h("span", { class: "hint" });
  const state = h("span", { class: "sr-only", role: "status" });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => cancel(current.id) }, "Cancel");
  const element = h("div", { class: "going hub-going", hidden: true }, bar, stop, what, state);
  const { watch, cancel, attempt } = createWatch(server, { next: () => current, onJob: hear, onTrouble: (texts) => sentences.show(texts.map((sentence) => ({ sentence }))), goesOn: "The download goes on." });
  let current = null;

  async function start(refs, wanted) {
    const answer = await sentences.attempt(() => server.hub_download({ refs }));
    if (!answer) return false;
    remember({ job: answer.job.id, wanted });
    hear(answer.job);
    watch();
    return true;
  }

  // The newest one that goes on, if any, and what it was for.
  async function find() {
    if (current) return null;
    const answer = await attempt(() => server.job_list({ kind: "download" }));
    const job = answer?.jobs.find(unfinished);
    if (!job) return null;
    hear(job);
    watch();
    return remembered(job.id);
  }

  function hear(job) {
    const before = current;
    current = unfinished(job) ? job : null;
    element.hidden = current === null;
    bar.value = job.share;
    what.textContent = words(job);
    if (before?.state !== job.state) state.textContent = { queued: "The download waits.", running: "Downloading.", done: "Downloaded.", cancelled: "The download was cancelled.", failed: "The download failed." }[job.state];
    if (current) return;
    const wanted = remembered(job.id);
    remember(null);
    if (job.state === "done") onDone(wanted);
    else onEnd(job);
  }

  return { element, start, find, isGoing: () => current !== null };
}

function words(job) {
  if (job.state === "queued") return job.ahead ? `${job.title}: waiting, ${job.ahead} before it` : `${job.title}: waiting`;
  return [`${Math.floor(100 * job.share)} %`, job.done ? bytes(job.done) : "", job.what || job.title].filter(Boolean).join(", ");
}

// A browser may forbid to keep anything; then a download that is found again is shown without what it was for.
function remember(kept) {
  try {
    if (kept) window.localStorage.setItem(KEPT, JSON.stringify(kept));
    else window.localStorage.removeItem(KEPT);
  } catch {
    return;
  }
}

function remembered(job) {
  try {
    const kept = JSON.parse(window.localStorage.getItem(KEPT));
    return kept?.job === job ? kept.wanted : null;
  } catch {
    return null;
  }
}
