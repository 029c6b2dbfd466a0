// Several results side by side: each against the first, paired on the same examples, and what its recipe does otherwise.

import { fill, h } from "./dom.js";
import { count, difference, percent, plusMinus } from "./format.js";

export function createCompare() {
  const body = h("div", { class: "compared" });
  const element = h("section", { class: "compare", "aria-label": "Comparison", role: "status", hidden: true }, body);

  function show({ first, others }) {
    element.hidden = false;
    const tasks = others.find((one) => one.differences)?.differences.tasks ?? [];
    fill(body, h("table", {}, h("caption", {}, "Against ", h("strong", {}, first.name), `, ${percent(first.average, first.interval)} ${plusMinus(first.interval)} %, n ${count(first.n)}: difference in points with its 95 % interval, paired on the same validation examples`),
      h("thead", {}, h("tr", {}, ["merge", "average", ...tasks.map((task) => task.title ?? task.task), "recipe"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, others.map((other) => line(other, tasks)))));
  }

  function line(other, tasks) {
    const found = other.differences;
    return h("tr", {}, h("th", { scope: "row" }, other.name),
      found ? cell(found.average) : h("td", { class: "hint" }, other.words),
      tasks.map((task) => found ? cell(found.tasks.find((one) => one.task === task.task)) : h("td", {}, "–")),
      h("td", { class: "words" }, other.recipe.length ? other.recipe.join("; ") : "the same recipe", found ? h("small", {}, other.words) : null));
  }

  return { element, show, hide: () => { element.hidden = true; } };
}

function cell(one) {
  if (!one) return h("td", {}, "–");
  const [low, high] = one.interval;
  const clear = low > 0 ? "better" : high < 0 ? "worse" : "";
  return h("td", { class: clear }, h("strong", {}, difference(one.difference)), h("small", {}, `${difference(low)} to ${difference(high)}`));
}
