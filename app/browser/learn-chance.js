// Beside methods that learn a mask: what the relaxed coin is, by hand. It is made when it is first opened.

import { h } from "./dom.js";
import { mount } from "./simplex.js";

export function createLearnChance(server, theme) {
  const place = h("div", {});
  const element = h("details", { class: "panel learn-chance", hidden: true, ontoggle: open }, h("summary", {}, "How a mask is learned: chance that a gradient can follow"), place);
  let made = false;

  function open() {
    if (!element.open || made) return;
    made = true;
    mount(place, server, theme);
  }

  return { element, show: (on) => { element.hidden = !on; } };
}
