// Which models a study looks at, in order: a row for each, with its colour, another in its place, one place up, away; and one more.

import { toneOf } from "./families.js";
import { fill, freshId, h } from "./dom.js";
import { MERGE } from "./geometry-choice.js";

export function createGeometryModels({ onInput }) {
  const rows = h("div", { class: "geometry-models", role: "group", "aria-label": "models that are looked at, in order" });
  const words = h("p", { class: "hint" });
  const element = h("div", {}, rows, words);

  function set(info, names, offer) {
    const choices = [{ ref: MERGE, title: "the studio’s merge", kind: "merge" },
      ...offer.models.map((one) => ({ ...one, kind: one.colour === null ? "base" : "expert" }))];
    const [least, most] = info.models;
    const focused = rows.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    const act = (place, label, text, does, off = false) => h("button", { type: "button", class: "quiet", "data-at": `${label} ${place}`, "aria-label": `${label}: ${titleOf(choices, names[place])}`, title: label, disabled: off, onclick: does }, text);
    fill(rows, names.map((name, place) => h("div", { class: "geometry-model" },
      h("i", { class: "mark dot", style: { "--tone": toneFor(choices, name) } }),
      select(`model ${place + 1} of ${names.length}`, place, choices, name, (next) => onInput(swapped(names, place, next))),
      names.length > 1 ? act(place, "one place up", "↑", () => onInput(moved(names, place)), place === 0) : null,
      names.length > least ? act(place, "leave out", "✕", () => onInput(names.filter((_, at) => at !== place))) : null)),
    names.length < (most ?? choices.length) && names.length < choices.length ? h("div", { class: "geometry-model add" }, h("i", { class: "mark" }), more(choices.filter((one) => !names.includes(one.ref)), (next) => onInput([...names, next]))) : null);
    words.textContent = least === most ? "" : `${least} to ${most ?? "any number of"} models.`;
    if (focused) [...rows.querySelectorAll("[data-at]")].find((one) => one.dataset.at === focused)?.focus({ preventScroll: true });
  }

  return { element, set };
}

function select(label, place, choices, name, onInput) {
  const made = h("select", { id: freshId("model"), "aria-label": label, "data-at": `select ${place}`, onchange: () => onInput(made.value) }, choices.map((one) => h("option", { value: one.ref, selected: one.ref === name }, one.title)));
  return made;
}

function more(choices, onInput) {
  const made = h("select", { "aria-label": "add a model", "data-at": "add", onchange: () => onInput(made.value) }, h("option", { value: "" }, "add a model …"), choices.map((one) => h("option", { value: one.ref }, one.title)));
  return made;
}

// A model that stands elsewhere in the list changes places with the one that it replaces.
function swapped(names, place, next) {
  const other = names.indexOf(next);
  return names.map((name, at) => (at === place ? next : at === other ? names[place] : name));
}

function moved(names, place) {
  const next = [...names];
  [next[place - 1], next[place]] = [next[place], next[place - 1]];
  return next;
}

function titleOf(choices, name) {
  return choices.find((one) => one.ref === name)?.title ?? name;
}

function toneFor(choices, name) {
  const one = choices.find((choice) => choice.ref === name);
  return toneOf(one?.kind === "merge" ? { kind: "merge", colour: null } : { kind: "expert", colour: one?.colour ?? null });
}
