// The method of a merge: a field that opens a panel beside it (below it on a narrow screen) with all methods in their groups, a
// search, and a picture of the one that is looked at. Choosing applies at once. Nothing is modal: Escape or going on elsewhere
// closes it.

import { fill, freshId, h } from "./dom.js";
import { duration } from "./format.js";
import { createMethodPicture } from "./method-picture.js";
import { createMethodSearch, needs } from "./method-search.js";
import { createNewest } from "./newest.js";

const NARROW = "(max-width: 760px)";
const LINGER = 120;
const PAGE = 6;

export function createMethodPicker({ methods, server, theme, formerly, choose }) {
  const [field, label, panelId, listId, listName] = ["method", "label", "picker", "methods", "heading"].map(freshId);
  const search = createMethodSearch(methods);
  const button = h("button", { id: field, type: "button", role: "combobox", class: "picker-field", "aria-labelledby": label, "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": panelId,
    onclick: () => turn(panel.hidden), onkeydown: opens });
  const row = h("div", { class: "choice-row", "data-act": "method" }, h("label", { id: label, for: field }, "method"), button);
  const input = h("input", { type: "search", role: "combobox", "aria-label": "search methods", "aria-expanded": "true", "aria-controls": listId, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
    placeholder: "Search: name, author, what it does", maxlength: "80", oninput: list, onkeydown: moves });
  const box = h("div", { id: listId, role: "listbox", class: "picker-list", "aria-labelledby": listName });
  const said = h("p", { class: "hint", role: "status" });
  const picture = createMethodPicture({ server, theme });
  const close = h("button", { type: "button", class: "quiet close", "aria-label": "close the methods", onclick: () => turn(false) }, "✕");
  const panel = h("div", { id: panelId, class: "picker", role: "dialog", "aria-labelledby": listName, hidden: true, onkeydown: escapes, onfocusout: leaves },
    h("header", {}, h("h2", { id: listName }, "Methods"), said, close),
    h("div", { class: "picker-body" }, h("div", { class: "picker-left" }, input, box), picture.element));
  const askFits = createNewest((message) => server.method_fits(message), showFits);
  const options = new Map(methods.map((info) => [info.name, option(info)]));
  let fits = new Map();
  let shown = [];
  let looked = null;
  let state = null;
  let waiting = null;

  function option(info) {
    const [takes, note] = [h("span", { class: "takes" }, needs(info)), h("span", { class: "note", hidden: true })];
    const element = h("div", { id: freshId("option"), role: "option", "aria-selected": "false", "data-value": info.name,
      onclick: () => pick(info.name), onpointerenter: () => hover(info.name), onpointerleave: () => clearTimeout(waiting) },
    h("span", { class: "title" }, info.title), h("span", { class: "summary" }, info.summary), takes, note);
    return { element, takes, note };
  }

  function set(next) {
    state = next;
    const current = methods.find((one) => one.name === next.recipe.method.name);
    button.textContent = current.title;
    button.dataset.value = current.name;
    for (const [name, { element }] of options) element.setAttribute("aria-selected", String(name === current.name));
    if (panel.hidden) return;
    refit();
    look(looked ?? current.name);
  }

  function turn(open, text = "") {
    if (open !== panel.hidden) return;
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    picture.rest(!open);
    clearTimeout(waiting);
    if (!open) {
      if (panel.contains(document.activeElement) || document.activeElement === document.body) button.focus({ preventScroll: true });
      return;
    }
    input.value = text;
    place();
    list();
    look(state.recipe.method.name);
    mark("center");
    refit();
    if (!matchMedia("(pointer: coarse)").matches) input.focus({ preventScroll: true });
  }

  // Beside the rail, as near to the field as the window allows; on a narrow screen it lies below the field (picker.css).
  function place() {
    if (panel.hidden || matchMedia(NARROW).matches) return;
    const [rail, at] = [button.closest(".rail").getBoundingClientRect(), button.getBoundingClientRect()];
    panel.style.left = `${rail.right + 8}px`;
    panel.style.top = `${Math.max(52, Math.min(at.top - 46, window.innerHeight - panel.offsetHeight - 8))}px`;
  }

  function refit() {
    askFits({ state, models: formerly(state) });
  }

  function showFits(answer) {
    if (!answer.ok) return;
    fits = new Map(answer.methods.map((one) => [one.name, one]));
    for (const info of methods) {
      const [{ element, takes, note }, fit] = [options.get(info.name), fits.get(info.name)];
      takes.textContent = [needs(info), fit.seconds >= 1 ? `about ${duration(fit.seconds)}` : null].filter(Boolean).join(" · ");
      note.textContent = fit.problem ?? fit.note;
      note.hidden = note.textContent === "";
      element.classList.toggle("unfit", !fit.fits);
      element.setAttribute("aria-disabled", String(fit.problem !== null));
    }
    panel.dataset.fits = "true";
    if (looked !== null) look(looked);
  }

  function list() {
    shown = search(input.value);
    const groups = new Map();
    for (const info of shown) groups.set(info.group, [...(groups.get(info.group) ?? []), info]);
    fill(box, [...groups].map(([name, infos]) => {
      const id = freshId("group");
      return h("div", { role: "group", "aria-labelledby": id }, h("div", { id, class: "group", role: "presentation" }, name), infos.map((info) => options.get(info.name).element));
    }));
    said.textContent = shown.length === methods.length ? `${methods.length}` : shown.length === 0 ? "none: try another word" : `${shown.length} of ${methods.length}`;
    if (shown.length > 0 && !shown.some((info) => info.name === looked)) look(shown[0].name);
    mark();
  }

  // The one that is looked at: what Enter chooses and what the picture shows.
  function look(name) {
    looked = name;
    mark();
    const info = methods.find((one) => one.name === name);
    picture.look(info, { state, models: formerly(state) }, fits.get(name)?.problem ?? null);
  }

  function mark(block = "nearest") {
    const there = shown.some((info) => info.name === looked);
    for (const [name, { element }] of options) element.classList.toggle("looked", there && name === looked);
    if (!there) return input.removeAttribute("aria-activedescendant");
    const { element } = options.get(looked);
    input.setAttribute("aria-activedescendant", element.id);
    element.scrollIntoView({ block });
  }

  function hover(name) {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (!panel.hidden && name !== looked) look(name); }, LINGER);
  }

  function pick(name) {
    if (fits.get(name)?.problem) return look(name);
    look(name);
    if (!matchMedia(NARROW).matches) turn(false);
    if (name !== state.recipe.method.name) choose(name);
  }

  function step(by) {
    if (shown.length === 0) return;
    const at = shown.findIndex((info) => info.name === looked);
    look(shown[Math.max(0, Math.min(shown.length - 1, at + by))].name);
  }

  function moves(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE };
    if (event.isComposing) return;
    if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Enter") { if (shown.some((info) => info.name === looked)) pick(looked); }
    else return;
    event.preventDefault();
  }

  // A letter on the closed field begins a search, as an arrow opens the list.
  function opens(event) {
    if (!panel.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = event.key.length === 1 && event.key !== " ";
    if (!letter && event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    event.stopPropagation();
    turn(true, letter ? event.key : "");
    input.focus({ preventScroll: true });
  }

  function escapes(event) {
    if (event.key !== "Escape" || event.defaultPrevented || panel.querySelector(":popover-open")) return;
    event.preventDefault();
    turn(false);
  }

  function leaves({ relatedTarget }) {
    if (relatedTarget && !panel.contains(relatedTarget) && !row.contains(relatedTarget) && !matchMedia(NARROW).matches) turn(false);
  }

  document.addEventListener("pointerdown", (event) => {
    if (!panel.hidden && !matchMedia(NARROW).matches && !panel.contains(event.target) && !row.contains(event.target)) turn(false);
  });
  window.addEventListener("resize", place);
  new ResizeObserver(place).observe(panel);

  return { row, panel, set };
}
