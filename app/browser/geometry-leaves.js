// The leaves of task vectors, layer by layer: choosing one looks at it from close by, and back.

import { createChoice } from "./controls.js";
import { fill, h } from "./dom.js";
import { count, number, percent } from "./format.js";

const WHOLE = 2;

export function createGeometryLeaves({ setParam }) {
  const chooser = h("span", {});
  const acts = h("span", { class: "acts" });
  const said = h("p", { class: "hint" });
  const grid = h("div", { class: "grid", tabindex: "0", role: "group", "aria-label": "leaves" });
  const element = h("section", { class: "panel geometry-leaves", "aria-label": "Leaves", hidden: true }, h("header", {}, h("h3", {}, "Leaves"), h("span", { class: "spacer" }), chooser, acts), said, grid);
  let layer = null;
  let layers = "";
  let drawn = "";
  let numbers = null;
  let wanted = null;
  let choice = null;
  let acted = "";

  // The figures stand above: what was asked for is brought into view. What was pressed keeps the focus, or the way back has it.
  function look(leaf, place = WHOLE) {
    setParam("leaf", leaf);
    element.parentElement?.parentElement?.scrollIntoView({ block: "start" });
    wanted = place;
  }

  function show(answer) {
    numbers = answer.numbers;
    const { chosen, leaves, total } = numbers;
    element.hidden = total === 0 || (chosen === 0 && leaves.length === 0);
    if (element.hidden) return;
    if (chosen) one(chosen, leaves[0], total);
    else all();
  }

  function all() {
    fill(acts, []);
    acted = "";
    wanted = null;
    const names = [...new Set(numbers.leaves.map((leaf) => leaf.depth))];
    if (!names.includes(layer)) layer = names[0];
    if (layers !== names.join("\n")) {
      layers = names.join("\n");
      choice = createChoice({ title: "layer", choices: names.map((value) => ({ value, title: value })), onInput: (value) => { layer = value; all(); } });
      fill(chooser, names.length > 1 ? choice.row : []);
    }
    choice.set(layer);
    chooser.hidden = false;
    const rows = numbers.leaves.filter((leaf) => leaf.depth === layer);
    const ranks = new Map(numbers.ranks.map((row) => [row.index, row]));
    const key = JSON.stringify([layer, rows, rows.map((leaf) => ranks.get(leaf.index))]);
    if (key === drawn) return;
    drawn = key;
    said.textContent = numbers.pairs.length > 1 ? `Means over ${count(numbers.pairs.length)} pairs and ${count(numbers.models.length)} models. Choose a leaf to look at it from close by.` : "Choose a leaf to look at it from close by.";
    const kept = grid.contains(document.activeElement) ? document.activeElement.dataset.leaf : null;
    fill(grid, h("table", {}, h("thead", {}, h("tr", {}, ["leaf", "shape", "norm", "cosine", "clash %", "times chance", "effective rank"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((leaf) => row(leaf, ranks.get(leaf.index))))));
    if (kept) grid.querySelector(`[data-leaf="${kept}"]`)?.focus();
  }

  function row(leaf, rank) {
    const times = leaf.overlaps.map((value, i) => (value === null || !leaf.chances[i] ? null : value / leaf.chances[i]));
    const cells = [leaf.shape.join(" × ") || "1", number(mean(leaf.norms), 3), number(mean(leaf.cosines), 3), percent(mean(leaf.clashes)), number(mean(times)), rank ? `${number(mean(rank.effective), 1)} of ${Math.min(...rank.shape)}` : "–"];
    return h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "quiet", "data-leaf": String(leaf.index), onclick: () => look(leaf.index) }, leaf.leaf)), cells.map((text) => h("td", { class: "value" }, text)));
  }

  function one(chosen, leaf, total) {
    chooser.hidden = true;
    drawn = "";
    if (leaf) layer = leaf.depth;
    said.textContent = leaf ? `${leaf.leaf}, ${leaf.shape.join(" × ") || "1"}, layer ${leaf.depth}: leaf ${count(chosen)} of ${count(total)}.` : "";
    fill(grid, []);
    if (acted === `${chosen} of ${total}`) return;
    acted = `${chosen} of ${total}`;
    const act = (text, to, off, place) => h("button", { type: "button", class: "quiet", disabled: off, onclick: () => look(to, place) }, text);
    const three = [act("previous", chosen - 1, chosen <= 1, 0), act("next", chosen + 1, chosen >= total, 1), act("whole model", 0, false, WHOLE)];
    fill(acts, three);
    if (wanted !== null) (three[wanted].disabled ? three[WHOLE] : three[wanted]).focus({ preventScroll: true });
    wanted = null;
  }

  return { element, show };
}

// The mean of what is known; nothing where nothing is.
function mean(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
