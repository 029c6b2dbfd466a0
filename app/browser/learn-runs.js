// The visitor's runs, the newest first: what each is, how it stands, and a way to look at it or to delete it.

import { fill, h } from "./dom.js";
import { day, difference } from "./format.js";

const WORDS = { waiting: "waiting", running: "learning", pausing: "pausing", stopping: "ending", ending: "ending", paused: "paused", failed: "stopped by an error", finished: "finished" };

export function createLearnRuns({ look, remove }) {
  const body = h("tbody", {});
  const element = h("section", { class: "panel learn-runs", "aria-label": "Your runs", hidden: true }, h("header", {}, h("h2", {}, "Your runs")),
    h("div", { class: "results-box" }, h("table", { class: "results" }, h("caption", { class: "sr-only" }, "Your runs of learning"),
      h("thead", {}, h("tr", {}, ["Run", "State", "Change", "Begun", ""].map((text) => h("th", { scope: "col" }, text || h("span", { class: "sr-only" }, "delete"))))), body)));
  let key = "";

  function show(runs, current) {
    element.hidden = runs.length === 0;
    const next = JSON.stringify([current, runs.map((run) => [run.id, run.state, run.step, run.gain])]);
    if (next === key) return;
    key = next;
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.at : undefined;
    fill(body, runs.map((run) => h("tr", { class: run.id === current ? "chosen" : null, "data-run": run.id, "data-state": run.state },
      h("th", { scope: "row", class: "name" }, h("button", { type: "button", class: "open", "data-at": `look ${run.id}`, "aria-current": run.id === current ? "true" : null, onclick: () => look(run.id) }, run.title)),
      h("td", {}, run.state === "finished" ? WORDS.finished : `${WORDS[run.state]}, step ${run.step} of ${run.steps}`),
      h("td", {}, run.gain ? [h("strong", {}, difference(run.gain.difference)), h("small", {}, ` (${difference(run.gain.interval[0])} to ${difference(run.gain.interval[1])}) against ${run.yardstick}`)] : "–"),
      h("td", {}, h("time", { datetime: run.created, title: run.created }, day(run.created))),
      h("td", {}, h("button", { type: "button", class: "quiet", "data-at": `delete ${run.id}`, "aria-label": `delete ${run.title}`, onclick: () => remove(run.id) }, "Delete")))));
    if (focused !== undefined) [...element.querySelectorAll("[data-at]")].find((one) => one.dataset.at === focused)?.focus({ preventScroll: true });
  }

  return { element, show };
}
