// On a narrow screen: what stands in the top line of a wide one, and a way to each panel, behind one button. On a wide screen
// the menu is no box of its own and its button is not there (narrow.css).

import { fill, freshId, h } from "./dom.js";

export function createMenu(actions, { studio, show }) {
  const id = freshId("menu");
  const places = h("div", { class: "places", role: "group", "aria-label": "go to" });
  const element = h("div", { id, class: "menu" }, places, actions);
  const button = h("button", { type: "button", class: "quiet menu-button", "aria-expanded": "false", "aria-controls": id, onclick: () => turn(!isOpen()) }, "Menu");

  const isOpen = () => button.getAttribute("aria-expanded") === "true";

  function turn(open) {
    button.setAttribute("aria-expanded", String(open));
    element.classList.toggle("open", open);
    if (open) fill(places, [...studio.querySelectorAll(":scope > aside, section.panel:not([hidden])")].map(place));
  }

  function place(panel) {
    return h("button", { type: "button", class: "quiet", onclick: () => reach(panel) }, panel.getAttribute("aria-label"));
  }

  function reach(panel) {
    close();
    show("studio");
    panel.scrollIntoView({ block: "start" });
    if (panel.tabIndex < 0) panel.tabIndex = -1;
    panel.focus({ preventScroll: true });
  }

  // The focus goes to the button if what has it is about to disappear.
  function close() {
    if (!isOpen()) return;
    turn(false);
    if (element.contains(document.activeElement)) button.focus({ preventScroll: true });
  }

  actions.addEventListener("click", (event) => {
    if (event.target.closest("button")?.closest(".explainer") === null) close();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!element.contains(event.target) && event.target !== button) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  return { button, element };
}

// The accuracies stay in view while a control or a chart below them is moved, and make room for what comes after.
export function createRoom(studio, later) {
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target);
    studio.classList.toggle("reading", seen.size > 0);
  }, { rootMargin: "0px 0px -50% 0px" });
  later.forEach((element) => observer.observe(element));
}
