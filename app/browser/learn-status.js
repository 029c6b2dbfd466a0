// How a run stands: its state in words, how far it is, what can be done with it, and a word of warning where one is due.

import { fill, h } from "./dom.js";
import { difference, duration, number } from "./format.js";

const STATES = {
  waiting: "waiting for its turn", running: "learning", pausing: "pausing after this step", stopping: "ending with the best so far",
  ending: "writing down what was learned", paused: "paused", failed: "stopped by an error", finished: "finished",
};
const GOING = ["waiting", "running", "pausing", "stopping", "ending"];

export const goes = (run) => GOING.includes(run.state);

export function createLearnStatus({ wish }) {
  const title = h("h2", {});
  const state = h("span", { class: "stage", role: "status" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the steps that is done" });
  const far = h("span", { class: "far" });
  const pause = h("button", { type: "button", class: "quiet", onclick: () => wish(GOING.includes(shown.state) ? "pause" : "go") }, "Pause");
  const stop = h("button", { type: "button", class: "quiet", title: "The run ends now, with the best check so far as its result.", onclick: () => wish("stop") }, "Stop and keep the best");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const warning = h("p", { class: "fall", role: "status", hidden: true });
  const words = h("p", { class: "hint" });
  const element = h("section", { class: "panel learn-status", "aria-label": "How the run stands", hidden: true },
    h("header", {}, title, state, h("span", { class: "spacer" }), pause, stop), h("div", { class: "way" }, bar, far), words, warning, trouble);
  let shown = null;

  function show(run) {
    shown = run;
    element.hidden = false;
    element.dataset.state = run.state;
    title.textContent = run.title;
    tell(state, run.state === "waiting" && run.ahead ? `waiting, ${run.ahead} before it` : run.interrupted ? "stopped with the server: press Go on" : run.state === "running" && !run.phase ? "opening the models" : STATES[run.state]);
    bar.value = run.steps ? run.step / run.steps : 0;
    const left = run.seconds_left === null || run.state !== "running" ? "" : `, about ${duration(run.seconds_left)} left`;
    far.textContent = `step ${run.step} of ${run.steps}${left}${run.state === "running" && run.phase ? ` · ${run.phase.toLowerCase()}` : ""}`;
    const going = goes(run);
    const over = run.state === "finished" || run.state === "ending";
    pause.hidden = over;
    pause.disabled = run.state === "pausing" || run.state === "stopping";
    pause.textContent = going ? "Pause" : run.step ? "Go on" : "Start again";
    stop.hidden = over || (run.state === "failed" && run.step === 0);
    stop.disabled = run.state === "stopping";
    refused(run.problems);
  }

  // The same sentences again are not read aloud again.
  function refused(problems) {
    const sentences = problems.map((problem) => problem.sentence);
    if (sentences.join("\n") !== [...trouble.children].map((one) => one.textContent).join("\n")) fill(trouble, sentences.map((sentence) => h("p", {}, sentence)));
  }

  // What was learned from, and whether accuracy falls while what is minimised falls.
  function say(numbers) {
    words.textContent = about(numbers);
    const { fall } = numbers;
    warning.hidden = !fall || shown.state === "finished";
    tell(warning, fall ? falling(fall, numbers) : "");
  }

  return { element, show, say, refused, hide: () => { element.hidden = true; } };
}

// The same words again are not read aloud again.
function tell(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function about({ split, subset, transductive, seen, objective }) {
  const from = transductive ? "Learns from test inputs: transductive." : seen ? "Learns from the inputs of validation, which are shown too." : `Learns from the ${split} split; shown on validation.`;
  if (!objective) return "";
  return `${from} Checks look at ${subset === "preview" ? "the preview of validation" : "all of validation"}.`;
}

function falling({ step, difference: by, interval, loss, clear }, { objective, keep }) {
  const name = objective === "entropy" ? "entropy" : "loss";
  const numbers = `Since step ${step} accuracy moved by ${difference(by)} points (95 % interval ${difference(interval[0])} to ${difference(interval[1])}, paired), while ${name} fell from ${number(loss[0])} to ${number(loss[1])}.`;
  const kept = keep === "accuracy" ? "the best step is kept" : "stop it, or keep the best check by accuracy next time";
  return clear ? `${numbers} The model grows surer of its answers, not better: ${kept}.` : `${numbers} That may be chance; if it goes on, the run is past its best: ${kept}.`;
}
