// The recipe as YAML, JSON, Python, a command line and for mergekit, in tabs; each is copied with one press.

import { freshId, h } from "./dom.js";

const FORMS = [["yaml", "YAML"], ["json", "JSON"], ["python", "Python"], ["command", "Command line"], ["mergekit", "mergekit"]];

export function createForms() {
  const id = freshId("form");
  const text = h("pre", { tabindex: "0" });
  const view = h("div", { role: "tabpanel", id, class: "export-form" }, text);
  const said = h("span", { class: "hint", role: "status" });
  const copy = h("button", { type: "button", class: "quiet", onclick: take }, "Copy");
  const tabs = FORMS.map(([name, title]) => h("button", {
    type: "button", role: "tab", class: "quiet", id: `${id}-${name}`, "aria-controls": id,
    onclick: () => choose(name), onkeydown: (event) => step(event, name),
  }, title));
  let forms = {};
  let chosen = FORMS[0][0];

  function choose(name) {
    chosen = name;
    FORMS.forEach(([other], place) => {
      tabs[place].setAttribute("aria-selected", String(other === name));
      tabs[place].tabIndex = other === name ? 0 : -1;
    });
    view.setAttribute("aria-labelledby", `${id}-${name}`);
    text.textContent = forms[name] ?? "";
    said.textContent = "";
  }

  function step(event, name) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turn) return;
    event.preventDefault();
    const next = (FORMS.findIndex(([other]) => other === name) + turn + FORMS.length) % FORMS.length;
    choose(FORMS[next][0]);
    tabs[next].focus();
  }

  async function take() {
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied.";
    } catch {
      window.getSelection().selectAllChildren(text);
      said.textContent = "Press Ctrl+C to copy.";
    }
  }

  choose(chosen);
  return {
    element: h("div", {}, h("div", { class: "export-tabs" }, h("div", { role: "tablist", "aria-label": "forms of the recipe" }, tabs), copy, said), view),
    show: (found) => {
      const same = forms[chosen] === found[chosen];
      forms = found;
      if (!same) choose(chosen);
    },
  };
}
