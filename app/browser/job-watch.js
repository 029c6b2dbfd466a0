// Jobs of the server as a card follows them: asked about until they end, stopped when asked to. They go on without the page.

const LOOK_EVERY = 400;
const LOST_EVERY = 2000;

export function unfinished(job) {
  return job.state === "queued" || job.state === "running";
}

// `next` gives the job to ask about, or null; `onJob` hears how one stands, `onTrouble` sentences, none once the server is back.
export function createWatch(server, { next, onJob, onTrouble, goesOn }) {
  let watching = false;
  let lost = false;

  // True when it has come to its end: nothing is left to ask about, or the server knows nothing of it any more.
  async function watch() {
    if (watching) return false;
    watching = true;
    for (let job = next(); job; job = next()) {
      await new Promise((resolve) => setTimeout(resolve, lost ? LOST_EVERY : LOOK_EVERY));
      const answer = await attempt(() => server.job_status({ job: job.id }));
      if (answer) onJob(answer.job);
      else if (!lost) break;
    }
    watching = false;
    return true;
  }

  async function cancel(id) {
    const answer = await attempt(() => server.job_cancel({ job: id }));
    if (answer) onJob(answer.job);
    watch();
  }

  async function attempt(ask) {
    try {
      const answer = await ask();
      if (lost) onTrouble([]);
      lost = false;
      if (answer.ok) return answer;
      onTrouble(answer.problems.map((problem) => problem.sentence));
    } catch (error) {
      lost = true;
      onTrouble([`The server does not answer (${error.message}). ${goesOn}`]);
    }
    return null;
  }

  return { watch, cancel, attempt };
}
