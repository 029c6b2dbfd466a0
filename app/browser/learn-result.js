// What became of a run: before and after with their paired difference, and the ways on.

import { fill, h } from "./dom.js";
import { count, difference, duration, percent, plusMinus } from "./format.js";

export function createLearnResult({ take, join, again, exportIt, shareIt }) {
  const body = h("div", { class: "learn-ends" });
  const words = h("p", { class: "hint" });
  const acts = h("div", { class: "acts" });
  const element = h("section", { class: "panel learn-result", "aria-label": "Result", role: "status", hidden: true }, h("header", {}, h("h2", {}, "Result")), body, words, acts);
  let key = null;

  function show(run, result, { yardstick }) {
    const next = `${run.id} ${run.expert}`;
    element.hidden = false;
    if (key === next) return;
    key = next;
    const same = alike(result.before, result.baseline);
    fill(body,
      end(yardstick, result.baseline), same ? null : end("at the start", result.before), end(`learned, as after step ${result.kept_step}`, result.after, "learned-accuracy"),
      change(`to ${yardstick}`, result.over_baseline), same ? null : change("to the start", result.gain));
    words.textContent = told(result, same, yardstick);
    if (run.example) return fill(acts);
    if (run.expert || !run.studio) return fill(acts, ...expertActs(run));
    fill(acts, h("button", { type: "button", class: "primary", onclick: () => take(run.studio) }, "Open in the studio"),
      h("button", { type: "button", class: "quiet", onclick: () => exportIt(run.studio) }, "Export"),
      h("button", { type: "button", class: "quiet", onclick: () => shareIt(run.studio) }, "Share a link"),
      h("a", { class: "quiet", href: `basin-learned/${run.id}/recipe.json`, download: "" }, "recipe.json"),
      ...filesOf(result.recipe).map(([name, title]) => h("a", { class: "quiet", href: `basin-learned/${run.id}/${name}`, download: "" }, title)));
  }

  // A checkpoint lies among the visitor's uploads; it joins the models that stand in the studio.
  function expertActs(run) {
    return run.expert ? [h("button", { type: "button", class: "primary", onclick: () => join(run) }, "Add to the studio’s models"),
      h("span", { class: "hint" }, `It is on this server as ${run.expert.split("/").at(-1)}, among your uploads under Choose models.`)] : [h("button", { type: "button", class: "primary", onclick: again }, "Put it among my uploads")];
  }

  return { element, show, hide: () => { element.hidden = true; } };
}

// What lies beside the recipe: learned tensors, and what was measured of each model.
function filesOf(recipe) {
  if (!recipe) return [];
  const measured = recipe.models.filter((entry) => entry.statistics).map((entry, place) => [`${entry.statistics.split(":")[1]}.safetensors`, `statistics ${place + 1}`]);
  return recipe.tensors ? [["recipe.tensors", "recipe.tensors"], ...measured] : measured;
}

// Where a run began as task arithmetic, the two are one, up to rounding.
function alike(one, other) {
  return one.average.accuracy === other.average.accuracy && Math.abs(one.average.loss - other.average.loss) < 1e-4;
}

function end(title, { average }, kind = null) {
  return h("div", {}, h("strong", { class: kind }, percent(average.accuracy, average.interval)), h("small", {}, ` ${plusMinus(average.interval)} %`), h("span", {}, title));
}

function change(title, { difference: by, interval }) {
  const kind = interval[0] > 0 ? "better" : interval[1] < 0 ? "worse" : "";
  return h("div", { class: `change ${kind}` }, h("strong", {}, difference(by)), h("small", {}, ` ${difference(interval[0])} to ${difference(interval[1])}`), h("span", {}, `points ${title}`));
}

function told({ after, gain, over_baseline: over, stopped, step, kept_step: kept, seconds, split, transductive, seen, chosen_by: chosen, held_out: heldOut, robust = [] }, same, yardstick) {
  const [found, name] = same ? [over, yardstick] : [gain, "its start"];
  const clear = found.interval[0] > 0 ? `It is better than ${name} on these examples.` : found.interval[1] < 0 ? `It is worse than ${name} on these examples.` : `These examples do not tell it from ${name}.`;
  const how = `${stopped ? "Stopped" : "Ended"} after step ${step}, ${duration(seconds)}; ${kept === step ? "the last step is kept" : `step ${kept} is kept`}.`;
  const from = transductive ? " Learned from the test inputs: every number is transductive." : seen ? " Learned from the inputs of validation, which is shown here." : heldOut ? "" : ` Learned from the ${split} split.`;
  const choice = chosen ? ` It was chosen by ${chosen}${heldOut ? ", none of which is in these numbers." : ", so its number is a little too good."}` : "";
  return `Mean accuracy${after.linearised ? " of the model linearised at the base" : ""} on ${after.partial ? "a part" : "all"} of ${after.split}, n ${count(after.n)}, 95 % intervals, differences paired. ${clear} ${how}${from}${choice}${robust.map(underAttack).join("")}`;
}

// How many answers are right before and after an attack, on the same examples.
function underAttack({ before, after }) {
  const [start, end] = [before, after].map(({ average: { accuracy, interval } }) => `${percent(accuracy, interval)} (${plusMinus(interval)} %)`);
  return ` Right before and after an ${after.words}: ${start} at the start, ${end} learned.`;
}
