// Loss on a text: paste one; the merge, its base and each expert say how surprised they are by its tokens while the sliders move.

import { fill, freshId, h } from "./dom.js";
import { isOwn, toneOf } from "./families.js";
import { count, estimate } from "./format.js";
import { createInView, createNewest } from "./newest.js";

const LONGEST = 8000;
const SAMPLE = "A model that has read many books expects the next word. Where it is right, the word costs little; where it is surprised, the word costs much. The loss is the mean of these costs over all the words of a text.";

export function createTextLoss({ server, store }) {
  if (!server.text_loss) return {};
  const id = freshId("text");
  const hint = freshId("hint");
  const text = h("textarea", { id, rows: 6, maxlength: LONGEST, spellcheck: "false", "aria-describedby": hint, oninput: ask });
  text.value = SAMPLE;
  const answers = h("div", { class: "answers" });
  const words = h("p", { class: "hint words", role: "status" });
  const stage = h("span", { class: "stage" });
  const reader = h("div", { class: "text-body" },
    h("div", { class: "paste" }, h("label", { for: id }, "text"), text, h("p", { class: "hint", id: hint }, `paste your own, at most ${count(LONGEST)} characters`)),
    h("div", { class: "said" }, answers));
  const element = h("section", { class: "panel text-loss", "aria-label": "Loss on a text", hidden: true },
    h("header", {}, h("h2", {}, "Loss on a text"), stage), reader, words);

  let family = null;
  let reads = false;
  const inView = createInView(element, ask);
  const newest = createNewest((message) => server.text_loss(message), draw);
  const newestFamily = createNewest((message) => server.text_loss(message), meet);

  // The server's own families look at pictures; of any other it is asked once whether its models read text.
  function set(state) {
    if (family === state.family) return ask();
    family = state.family;
    reads = false;
    element.hidden = true;
    if (isOwn(family)) newestFamily({ state });
  }

  function meet(answer, last, message) {
    if (message.state.family !== family || !answer.ok) return;
    const { numbers } = answer;
    reads = numbers.reads && numbers.sentence === null;
    reader.hidden = !reads;
    stage.textContent = "";
    words.textContent = numbers.sentence ?? "";
    fill(answers, table([]));
    element.hidden = !numbers.reads;
    ask();
  }

  function ask() {
    if (!reads || !inView()) return;
    if (text.value.trim() === "") {
      stage.textContent = "paste a text";
      fill(answers, table([]));
      words.textContent = "";
      return;
    }
    if (answers.querySelector("tbody tr") === null) stage.textContent = "reading the text";
    newest({ state: store.get(), text: text.value });
  }

  function draw(answer, last, message) {
    if (message.state.family !== family || text.value.trim() === "") return;
    if (!answer.ok) {
      if (last) words.textContent = answer.problems.map((problem) => problem.sentence).join(" ");
      if (last) stage.textContent = "";
      return;
    }
    const { numbers } = answer;
    fill(answers, table(numbers.models));
    stage.textContent = `n ${count(numbers.n)} ${numbers.n === 1 ? "token" : "tokens"}`;
    words.textContent = `${numbers.words} Intervals are 95 %.`;
    element.dataset.seq = answer.seq;
  }

  return { panel: element, state: set };
}

function table(models) {
  const most = Math.max(...models.map((model) => model.loss ?? 0));
  return h("table", { class: "guesses losses" },
    h("caption", { class: "sr-only" }, "The loss and the perplexity of each model on the text, with 95 % intervals"),
    h("thead", {}, h("tr", {}, ["model", "loss, nats per token", "perplexity"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, models.map((model) => h("tr", { class: model.kind, style: { "--tone": toneOf(model) } },
      h("th", { scope: "row", title: model.title }, h("i", { class: "mark dot", "aria-hidden": "true" }), model.title),
      cell(model.loss, model.loss_interval, most > 0 ? (model.loss ?? 0) / most : 0), cell(model.perplexity, model.perplexity_interval, 0)))));
}

function cell(value, interval, share) {
  if (value === null) return h("td", {}, "not finite");
  const [shown, low, high] = estimate(value, interval);
  return h("td", { style: { "--share": `${Math.round(100 * share)}%` } },
    h("span", { class: "guess" }, h("b", {}, shown), low === null ? null : h("span", { class: "share" }, `${low} to ${high}`)));
}
