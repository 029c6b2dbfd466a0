// The best place of a subspace in words: how much of each model, what it gains on examples that chose nothing, and the way into the studio.

import { fill, h } from "./dom.js";
import { toneOf } from "./families.js";
import { count, difference, number } from "./format.js";

export function createGeometryBest({ server, notice, open }) {
  const mix = h("ul", { class: "mix" });
  const said = h("p", { class: "hint" });
  const go = h("button", { type: "button", class: "primary", onclick: take }, "Open in the studio");
  const why = h("span", { class: "hint" });
  const element = h("section", { class: "panel geometry-best", "aria-label": "The best place", hidden: true }, h("header", {}, h("h3", {}, "The best place so far")), mix, said, h("div", { class: "acts" }, go, why));
  let recipe = null;

  function show({ numbers, about }) {
    const { best, gains, partial } = numbers;
    element.hidden = !best;
    if (!best) return;
    recipe = numbers.recipe;
    element.querySelector("h3").textContent = partial ? "The best place so far" : "The best place";
    fill(mix, best.weights.map((weight, place) => h("li", {}, h("span", { class: "mark dot", "aria-hidden": "true", style: { "--tone": toneOf(about.models[place]) } }), `${number(weight)} ${about.models[place].title}`)));
    const held = best.held_out[0];
    const gain = gains.find((one) => one.over === "model" && one.split === held.split);
    const over = gain ? ` Against ${about.models[gain.models[0]].title}, the model that the same examples would choose, its accuracy is ${difference(gain.accuracy.value)} points (${span(gain.accuracy.interval)}) and its loss ${signed(gain.loss.value)} nats (${signed(gain.loss.interval[0])} to ${signed(gain.loss.interval[1])}), paired.` : "";
    said.textContent = `Chosen on one half of ${held.split}; on the other, n ${count(held.n)}, its loss is ${number(held.loss, 3)} nats.${over}`;
    go.disabled = recipe === null;
    why.textContent = recipe === null ? "One of the models is a merge itself, so no recipe says where this place is." : "";
  }

  async function take() {
    go.disabled = true;
    try {
      const answer = await server.open_recipe({ text: JSON.stringify(recipe) });
      if (!answer.ok) return notice.problems(answer, true);
      open(answer.state);
      window.scrollTo(0, 0);
    } catch (error) {
      notice.show([`The server does not answer (${error.message}). Nothing is lost; try again in a moment.`]);
    } finally {
      go.disabled = recipe === null;
    }
  }

  return { element, show };
}

const span = ([low, high]) => `${difference(low)} to ${difference(high)}`;
const signed = (value) => value === null ? "–" : `${value > 0 ? "+" : "−"}${number(Math.abs(value), 3)}`;
