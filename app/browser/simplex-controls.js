// What both figures of chance are moved by: logits, a temperature on a logarithmic slider, the number of samples, new noise.

import { createChoice } from "./controls.js";
import { freshId, h } from "./dom.js";

export const LOGIT = { range: [-4, 4], bounds: [-10, 10], step: 0.1 };
const COLDEST = 0.01;
const HOTTEST = 10;
const SAMPLES = [100, 500, 2000];

// `ends`: what a sample becomes at the coldest and at the hottest end.
export function createTemperature({ ends, onInput }) {
  const id = freshId("temperature");
  const said = h("output", { for: id, class: "number" });
  const slider = h("input", { type: "range", id, min: Math.log10(COLDEST), max: Math.log10(HOTTEST), step: 0.02, title: "how far samples are smoothed, on a logarithmic scale" });
  slider.addEventListener("input", () => {
    const value = rounded(10 ** slider.valueAsNumber);
    set(value);
    onInput(value);
  });
  const row = h("div", { class: "slider-row temperature" }, h("label", { for: id }, "temperature"),
    h("span", { class: "track" }, slider, h("span", { class: "ends", "aria-hidden": "true" }, h("span", {}, `← ${ends[0]}`), h("span", {}, `${ends[1]} →`))), said);

  function set(value) {
    if (rounded(10 ** slider.valueAsNumber) !== value) slider.value = Math.log10(value);
    said.textContent = String(value);
    slider.setAttribute("aria-valuetext", String(value));
    slider.style.setProperty("--to", `${(100 * (slider.valueAsNumber - slider.min)) / (slider.max - slider.min)}%`);
  }

  return { row, set };
}

export function createDraws(onChange) {
  let n = 500;
  let seed = 0;
  const choice = createChoice({ title: "samples", help: "how many are drawn: more make the intervals narrower", choices: SAMPLES.map((value) => ({ value: String(value), title: String(value) })), onInput: (value) => { n = Number(value); onChange(); } });
  choice.set(String(n));
  const again = h("button", { type: "button", class: "quiet", title: "the same logits and temperature with new noise", onclick: () => { seed += 1; onChange(); } }, "Draw again");
  return { element: h("div", { class: "draws" }, choice.row, again), asked: () => ({ n, seed }) };
}

export function within(value, [low, high]) {
  return Math.min(high, Math.max(low, value));
}

function rounded(value) {
  return Number(value.toPrecision(2));
}
