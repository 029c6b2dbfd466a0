// What a mask is learned by, by hand: chance, relaxed. It is made when it is first opened.

import { h } from "./dom.js";
import { mount } from "./simplex.js";

export function createLearnChance(server, theme) {
  const place = h("div", {});
  const element = h("details", { class: "panel learn-chance", ontoggle: open }, h("summary", {}, "How a mask is learned: chance that a gradient can follow"), place);
  let made = false;

  function open() {
    if (!element.open || made) return;
    made = true;
    mount(place, server, theme);
  }

  return { element };
}
