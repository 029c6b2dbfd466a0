// Try it: draw, open or pick a picture; the merge, the base and each expert answer side by side while the sliders move. Of a task
// whose pictures have colours an example is picked; it is drawn for nobody.

import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { createDrawingPad } from "./drawing-pad.js";
import { familyNamed, toneOf } from "./families.js";
import { count } from "./format.js";
import { createInView, createNewest } from "./newest.js";
import { learnOf } from "./task-facts.js";
import { fromBase64, paint, tile, toBase64 } from "./pictures.js";

const PLACES = ["first guess", "second", "third"];

export function createTryIt({ server, store, description }) {
  if (!server.try_picture) return {};
  const seen = h("canvas", { class: "seen", role: "img", "aria-label": "What the models see" });
  const photo = h("img", { class: "seen photo", alt: "What the models see", hidden: true });
  const size = h("p", { class: "hint" });
  const stage = h("span", { class: "stage" });
  const answers = h("div", { class: "answers" });
  const words = h("p", { class: "hint words", role: "status" });
  const strip = h("div", { class: "tiles", role: "group", "aria-label": "Validation examples" });
  const heads = h("span", { class: "head-choice" });
  const pad = createDrawingPad({
    onDraw: () => use({ kind: "drawing" }),
    onPicture: (turned) => use({ kind: "picture", turned }),
    onProblem: (sentence) => { words.textContent = sentence; },
  });
  const heading = h("h3", {});
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "sr-only", onchange: () => { if (file.files[0]) pad.open(file.files[0]); file.value = ""; } });
  const tools = h("div", { class: "tools" },
    h("button", { type: "button", class: "quiet", onclick: clear }, "Clear"),
    h("button", { type: "button", class: "quiet", onclick: () => { pad.invert(); use({ kind: "drawing" }); } }, "Invert"),
    h("label", { class: "quiet file" }, "Open a picture", file));
  const element = h("section", { class: "panel try-it", "aria-label": "Try it", ondragover: (event) => event.preventDefault(), ondrop: drop },
    h("header", {}, h("h2", {}, "Try it"), heads, stage),
    h("div", { class: "try-body" },
      h("div", { class: "easel" }, pad.element, h("div", { class: "seen-box" }, seen, photo, size), tools),
      h("div", { class: "said" }, answers, words)),
    h("div", { class: "pick" }, heading,
      h("button", { type: "button", class: "quiet", onclick: () => pictures(start + shown) }, "Others"), strip));

  let family = null;
  let task = null;
  let source = null;
  let start = 0;
  let shown = 0;
  let head = null;
  let drawable = [];
  const inView = createInView(element, ask);
  const newest = createNewest((message) => server.try_picture(message), draw);
  const newestStrip = createNewest(({ family: of, task: name, start: from }) => server.try_pictures({ family: of, task: name, start: from }), drawStrip);

  function taskOf(name) {
    return description.tasks.find((one) => one.name === name);
  }

  // The head belongs to a task of the family that has pictures; another family brings its own tasks.
  function set(state) {
    const next = familyNamed(description, state.family);
    const shows = next.tasks.filter((name) => (taskOf(name)?.channels ?? 1) > 0);
    if (family?.name !== state.family) learnOf(server, description, next).then((more) => more && set(store.get()));
    if (family?.name !== state.family || drawable.join() !== shows.join()) {
      family = next;
      drawable = shows;
      head = createChoice({ title: "head", help: "which task's classes the models choose from", choices: drawable.map((name) => ({ value: name, title: taskOf(name)?.title ?? name })), onInput: choose });
      fill(heads, head.row);
      element.hidden = drawable.length === 0;
      if (element.hidden) task = null;
      else choose(drawable[0]);
      return;
    }
    ask();
  }

  function choose(name) {
    task = name;
    head.set(name);
    element.dataset.task = name;
    const colours = inColours();
    if (source === null || source.kind === "example" || colours) source = { kind: "example", place: 0 };
    for (const one of [pad.element, tools, seen]) one.hidden = colours;
    photo.hidden = !colours;
    photo.removeAttribute("src");
    heading.textContent = colours ? "Pick an example of the validation split" : "Or pick an example of the validation split";
    fill(strip);
    shown = 0;
    pictures(0);
    ask();
  }

  function pictures(from) {
    start = from;
    if (inView()) newestStrip({ family: family.name, task, start: from });
  }

  // A picture may fall anywhere on the panel.
  function drop(event) {
    event.preventDefault();
    const [dropped] = event.dataTransfer.files;
    if (dropped && !inColours()) pad.open(dropped);
  }

  function use(next) {
    source = next;
    ask();
  }

  function clear() {
    pad.clear();
    source = null;
    stage.textContent = "draw something";
    element.dataset.source = "";
    strip.querySelectorAll("[aria-pressed=true]").forEach((one) => one.setAttribute("aria-pressed", "false"));
    fill(answers, table([], null));
    words.textContent = "";
    const side = taskOf(task)?.image_size ?? 32;
    paint(seen, new Uint8Array(side * side), side);
  }

  function ask() {
    if (!inView() || task === null) return;
    if (shown === 0) newestStrip({ family: family.name, task, start });
    if (source === null) return;
    const what = source.kind === "example" ? { example: source.place } : { picture: toBase64(pad.values(sideOf())) };
    newest({ state: store.get(), task, ...what });
  }

  function inColours() {
    return (taskOf(task)?.channels ?? 1) > 1;
  }

  function sideOf() {
    return taskOf(task)?.image_size ?? 32;
  }

  function draw(answer, last, message) {
    if (!answer.ok) {
      if (last) words.textContent = answer.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const { numbers } = answer;
    if (source === null || numbers.task !== task) return;
    if (numbers.photo) photo.src = numbers.photo;
    else paint(seen, fromBase64(numbers.picture), numbers.side);
    size.textContent = `what the models see: ${numbers.side} × ${numbers.side} ${numbers.photo ? "pixels" : "gray values"}`;
    if (!numbers.photo && numbers.example !== null && source.kind === "example") pad.show(seen);
    fill(answers, table(numbers.models, numbers.truth));
    const [merge] = numbers.models;
    element.dataset.source = numbers.example === null ? "drawing" : "example";
    element.dataset.seq = answer.seq;
    stage.textContent = numbers.example === null ? "no true class is known" : `validation example, true class ${numbers.truth}`;
    strip.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(Number(one.dataset.example) === message.example)));
    const said = merge.answered ? `The merge says ${merge.top[0].class} (${share(merge.top[0].probability)}).` : "The merge gives no finite numbers.";
    const turned = source.turned ? "The picture was light; it was turned to light on dark, as the training pictures are." : "";
    words.textContent = `${said} ${turned} ${numbers.example === null ? honest() : ""}`.trim();
  }

  function honest() {
    return `Your picture is not like the data these models learned from (“${taskOf(task)?.description ?? ""}”), so expect more mistakes than the accuracies above say.`;
  }

  function drawStrip(answer) {
    if (!answer.ok || answer.numbers.task !== task) return;
    const { numbers } = answer;
    shown = numbers.examples.length;
    const chosen = source?.kind === "example" ? source.place : null;
    fill(strip, numbers.examples.map((row, i) => h("button", {
      type: "button", class: "pick-tile", "data-example": row.example, "aria-pressed": String(row.example === chosen), title: `true class ${row.truth}`,
      "aria-label": `example ${row.example + 1} of ${count(numbers.n)}, true class ${row.truth}`, onclick: () => use({ kind: "example", place: row.example }),
    }, tile(numbers.sprite, i, 32))));
  }

  fill(answers, table([], null));
  return { panel: element, state: set };
}

function table(models, truth) {
  return h("table", { class: "guesses" },
    h("caption", { class: "sr-only" }, "What each model says of the picture, with probabilities"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "model"), PLACES.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, models.map((model) => h("tr", { class: model.kind, style: { "--tone": toneOf(model) } },
      h("th", { scope: "row" }, h("i", { class: "mark dot", "aria-hidden": "true" }), model.title),
      model.answered ? model.top.map((guess, i) => cell(guess, i === 0 ? truth : null)) : h("td", { colspan: 3 }, "no finite answer")))));
}

function cell(guess, truth) {
  const mark = truth === null ? null : guess.class === truth ? h("span", { class: "verdict right", title: "right" }, "✓") : h("span", { class: "verdict wrong", title: "wrong" }, "✗");
  return h("td", { style: { "--share": `${Math.round(100 * guess.probability)}%` } },
    h("span", { class: "guess" }, h("b", {}, guess.class), mark, h("span", { class: "share" }, share(guess.probability))));
}

function share(value) {
  return value > 0 && value < 0.005 ? "< 1 %" : `${(100 * value).toFixed(0)} %`;
}
