// The views in the top line: the studio, and whatever room has a view of its own. The address remembers which (#library).

import { h } from "./dom.js";

export function createTabs(studio, tabs, onStudio = () => {}) {
  const views = [{ name: "studio", title: "Studio", element: studio, shown: onStudio }, ...tabs];
  const buttons = views.map((view) => h("button", {
    type: "button", role: "tab", class: "tab", id: `basin-tab-${view.name}`, "aria-controls": `basin-view-${view.name}`,
    onclick: () => show(view.name), onkeydown: (event) => step(event, view),
  }, view.title));
  views.forEach((view) => {
    view.element.id = `basin-view-${view.name}`;
    view.element.setAttribute("role", "tabpanel");
    view.element.setAttribute("aria-labelledby", `basin-tab-${view.name}`);
  });

  function show(name, remember = true) {
    const chosen = views.find((view) => view.name === name) ?? views[0];
    views.forEach((view, index) => {
      const front = view === chosen;
      view.element.hidden = !front;
      buttons[index].setAttribute("aria-selected", String(front));
      buttons[index].tabIndex = front ? 0 : -1;
    });
    if (remember) window.history.replaceState(null, "", `${window.location.pathname}${window.location.search}${chosen === views[0] ? "" : `#${chosen.name}`}`);
    chosen.shown();
  }

  function step(event, view) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turn) return;
    event.preventDefault();
    const next = (views.indexOf(view) + turn + views.length) % views.length;
    buttons[next].focus();
    show(views[next].name);
  }

  const element = h("nav", { class: "tabs" }, h("div", { role: "tablist", "aria-label": "views" }, buttons));
  return { element, show, start: (first) => show(first ?? window.location.hash.slice(1), false) };
}
