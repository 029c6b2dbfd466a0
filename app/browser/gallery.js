// Examples: recipes with a picture of what they reach, measured by this server; click one to open it in the studio.

import { taskBars } from "./bars.js";
import { fill, h } from "./dom.js";
import { count, percent, plusMinus } from "./format.js";
import { createPopover } from "./popover.js";
import { createRecipeOpen } from "./recipe-open.js";
import { attempt } from "./server.js";

export function createGallery({ server, notice, open }) {
  const grid = h("ul", { class: "examples" });
  const { element, panel } = createPopover({ title: "Examples", className: "gallery", act: "examples", says: "recipes to begin from", onOpen: load },
    createRecipeOpen({ server, notice, open: (state) => { panel.hidePopover(); open(state); } }), grid,
    h("p", { class: "source" }, "Bars: accuracy per task on the validation split, measured by this server, with 95 % intervals; the tick is the base. Undo brings your merge back."));
  let rows = null;
  let measuring = false;

  async function load() {
    if (rows === null) {
      const answer = await attempt(notice, () => server.examples({}));
      if (!answer) return;
      rows = answer.examples.map((row) => ({ row, card: card(row) }));
      fill(grid, rows.map(({ card: made }) => h("li", {}, made.element)));
    }
    measure();
  }

  // One after the other, as long as somebody looks.
  async function measure() {
    if (measuring) return;
    measuring = true;
    for (const { row, card: made } of rows) {
      if (row.numbers) continue;
      if (!panel.matches(":popover-open")) break;
      const answer = await attempt(notice, () => server.measure_example({ name: row.name }));
      if (!answer) break;
      row.numbers = answer.numbers;
      made.show(answer.numbers);
    }
    measuring = false;
  }

  function card(row) {
    const picture = h("span", { class: "picture" });
    const value = h("span", { class: "value" }, "\u00a0");
    const made = h("button", { type: "button", class: "example", "data-example": row.name, onclick: () => choose(row) },
      picture, h("strong", {}, row.title), h("span", { class: "sentence" }, row.sentence), value);

    function show(numbers) {
      fill(picture, taskBars(numbers));
      const { average } = numbers;
      value.textContent = `${percent(average.accuracy, average.interval)} ${plusMinus(average.interval)} %, n ${count(numbers.n)}`;
      made.title = numbers.tasks.map((task) => `${task.title} ${percent(task.accuracy, task.interval)} %`).join("\n");
      made.dataset.measured = "true";
    }

    if (row.numbers) show(row.numbers);
    return { element: made, show };
  }

  function choose(row) {
    panel.hidePopover();
    open(row.state);
  }

  return { button: element };
}
