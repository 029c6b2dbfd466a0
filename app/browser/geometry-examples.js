// The examples that make a barrier, one split at a time: the picture, its class, what the ends and the top of the barrier say.

import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { count, number, percent } from "./format.js";
import { createNewest } from "./newest.js";
import { tile } from "./pictures.js";

const SIDE = 56;

export function createGeometryExamples({ server, store }) {
  const title = h("h3", {});
  const chooser = h("span", {});
  const said = h("p", { class: "hint" });
  const list = h("ul", { class: "geometry-examples" });
  const element = h("section", { class: "panel", "aria-label": "Examples that make the barrier", hidden: true }, h("header", {}, title, h("span", { class: "spacer" }), chooser), said, list);
  const newest = createNewest(ask, draw);
  let answer = null;
  let split = "";
  let splits = "";
  let wanted = "";

  function show(found) {
    answer = found;
    const named = found.numbers.examples ?? [];
    element.hidden = named.length === 0;
    if (element.hidden) return;
    if (!named.some((one) => one.split === split)) split = named[0].split;
    choose(named.map((one) => one.split));
    look();
  }

  function choose(names) {
    if (names.join() === splits) return;
    splits = names.join();
    const choice = createChoice({ title: "split", choices: names.map((value) => ({ value, title: value })), onInput: (value) => { split = value; look(); } });
    choice.set(split);
    fill(chooser, names.length > 1 ? choice.row : []);
  }

  // Pictures are asked for when other examples are named; what is said of them may change without.
  function look() {
    const found = answer.numbers.examples.find((one) => one.split === split);
    const examples = found.rows.map(({ task, example }) => ({ task, example }));
    const key = JSON.stringify([split, examples, found.at, found.n, found.rows.map((row) => row.said !== null)]);
    if (key === wanted) return;
    wanted = key;
    newest({ found, spec: answer.spec, about: answer.about, examples });
  }

  function ask({ found, spec, examples }) {
    return server.geometry_pictures({ state: store.get(), spec, split: found.split, examples });
  }

  function draw(pictures, _, { found, about }) {
    if (!pictures.ok) {
      wanted = "";
      said.textContent = pictures.problems.map((problem) => problem.sentence).join(" ");
      return;
    }
    const ends = [found.from, found.to].map((place) => about.models[place].title);
    title.textContent = `Examples that make the barrier: ${found.split}, n ${count(found.n)}, t ${number(found.at)}`;
    said.textContent = `${percent(found.half)} % of the examples make half of it. First those with the largest part: their class, what ${ends[0]}, the point at t ${number(found.at)} and ${ends[1]} say, and their own loss above their own chord.`;
    fill(list, found.rows.map((row, i) => one(row, pictures.sprites[row.task], pictures.at[i], pictures.texts[i], about, ends)));
    list.setAttribute("aria-label", title.textContent);
    element.dataset.split = found.split;
  }

  return { element, show };
}

function one(row, sprite, place, text, about, ends) {
  const task = about.tasks.find((entry) => entry.task === row.task)?.title ?? row.task;
  const several = about.tasks.length > 1;
  const answers = row.said?.map((answer) => (answer.class === null ? "no answer" : answer.class));
  const words = answers ? `${ends[0]} says ${answers[0]}, the point between says ${answers[1]}, ${ends[1]} says ${answers[2]}` : "";
  return h("li", { title: `${task}, example ${row.example}: ${row.label}. ${words}` },
    place === null || !sprite ? h("span", { class: "text" }, text ?? `${task} ${count(row.example)}`) : tile(sprite, place, SIDE),
    h("span", { class: "truth" }, h("span", { class: "sr-only" }, "true "), String(row.label)),
    several ? h("span", { class: "said" }, task) : null,
    answers ? h("span", { class: "said" }, h("span", { class: "sr-only" }, words), h("span", { "aria-hidden": "true" }, answers[0], " → ", h("b", { class: answers[1] === row.label ? "" : "wrong" }, answers[1]), " ← ", answers[2])) : null,
    h("span", { class: "gap" }, `+${number(row.gap)} nats`));
}
