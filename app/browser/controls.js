// Controls made from what the registry says of a parameter.

import { freshId, h } from "./dom.js";
import { createVary } from "./vary.js";
import { told, varies } from "./varying.js";

// One row: name, slider, number. `set` shows a value without telling anyone; `limit` moves the lower end of slider and number.
// Where `leaves` promises the names of leaves, the number may vary: then `panel` is the editor that a small button opens below.
// `more`: what that button opens instead ({ element, open, says }).
export function createSlider({ title, help, range, bounds, step, unit = "", colour = null, ticks = [], leaves = null, openBelow = false, more = null, onInput, onEnd }) {
  const id = freshId("slider");
  const slider = h("input", { type: "range", id, min: range[0], max: range[1], step, title: help ?? title });
  const box = h("input", {
    type: "number", class: "number", min: bounds?.[0], max: bounds?.[1], step, "aria-label": `${title}, number`, title: unit,
  });
  const high = range[1];
  let low = range[0];
  let shown = null;
  const group = () => `${id}`;
  slider.addEventListener("input", () => {
    box.value = tidy(slider.valueAsNumber, step);
    paint();
    onInput(slider.valueAsNumber, group());
  });
  slider.addEventListener("change", () => onEnd?.());
  box.addEventListener("change", () => {
    if (Number.isFinite(box.valueAsNumber)) {
      slider.value = box.valueAsNumber;
      paint();
      onInput(box.valueAsNumber, null);
    } else if (shown !== null) box.value = tidy(shown, step);
  });

  function paint() {
    const share = (Math.min(high, Math.max(low, slider.valueAsNumber)) - low) / (high - low);
    const zero = Math.min(1, Math.max(0, -low / (high - low)));
    slider.style.setProperty("--from", `${100 * Math.min(zero, share)}%`);
    slider.style.setProperty("--to", `${100 * Math.max(zero, share)}%`);
  }

  function set(value) {
    if (value === null || value === undefined) return;
    vary?.set(value);
    row.classList.toggle("varies", varies(value));
    words.textContent = varies(value) ? told(value) : "";
    words.title = words.textContent;
    if (varies(value)) return;
    shown = value;
    if (Number(slider.value) !== value) slider.value = value;
    if (document.activeElement !== box) box.value = tidy(value, step);
    paint();
  }

  const marks = ticks.length ? h("span", { class: "marks", "aria-hidden": "true" }, ticks.map(() => h("i"))) : null;

  function limit(least) {
    low = Math.max(range[0], least ?? range[0]);
    slider.min = low;
    box.min = least ?? bounds?.[0] ?? "";
    ticks.forEach((tick, i) => { marks.children[i].style.left = `${(100 * (tick - low)) / (high - low)}%`; });
    paint();
  }

  limit(null);
  const vary = leaves && !more ? createVary({ title, range, bounds, openBelow, step, leaves, onInput, onEnd }) : null;
  const opens = more ?? (vary && { element: vary.element, open: vary.open, says: `${title}: over depth, or by leaf name` });
  const panel = opens ? h("div", { id: freshId("more"), class: "more-panel", hidden: true }, opens.element) : null;
  const turn = () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) opens.open();
  };
  const button = opens ? h("button", { type: "button", class: "quiet vary-button", "aria-expanded": "false", "aria-controls": panel.id, "aria-label": opens.says, title: opens.says, onclick: turn }, "⋯") : null;
  const words = h("button", { type: "button", class: "told", tabindex: "-1", onclick: () => { if (panel?.hidden) turn(); } });
  const label = h("label", { for: id, title: help ?? "" }, title);
  const row = h("div", { class: "slider-row", style: colour ? { "--tone": colour } : {} }, label, h("span", { class: "track" }, slider, marks), box, words, button);
  function hideMore(off) {
    button.hidden = off;
    if (off) panel.hidden = true;
    if (off) button.setAttribute("aria-expanded", "false");
  }

  return { row, panel, set, limit, hideMore, slider, label, disable: (off) => { slider.disabled = off; box.disabled = off; row.classList.toggle("off", off); } };
}

export function createChoice({ title, help, choices, onInput }) {
  const id = freshId("choice");
  const groups = Map.groupBy ? Map.groupBy(choices, (choice) => choice.group ?? "") : grouped(choices);
  const select = h("select", { id, title: help ?? title, onchange: () => onInput(select.value) },
    [...groups].map(([name, options]) => name
      ? h("optgroup", { label: name }, options.map(option))
      : options.map(option)));
  const row = h("div", { class: "choice-row" }, h("label", { for: id, title: help ?? "" }, title), select);
  return { row, select, set: (value) => { if (select.value !== value) select.value = value; } };
}

function option({ value, title }) {
  return h("option", { value }, title);
}

function grouped(choices) {
  const map = new Map();
  for (const choice of choices) map.set(choice.group ?? "", [...(map.get(choice.group ?? "") ?? []), choice]);
  return map;
}

export function createSwitch({ title, help, onInput }) {
  const id = freshId("switch");
  const box = h("input", { type: "checkbox", id, onchange: () => onInput(box.checked) });
  const row = h("div", { class: "switch-row" }, box, h("label", { for: id, title: help ?? "" }, title));
  return { row, set: (value) => { box.checked = Boolean(value); } };
}

// The control of one registered parameter.
export function createKnob(info, { onInput, onEnd, leaves = null }) {
  const title = info.title.charAt(0).toLowerCase() + info.title.slice(1);
  if (info.kind === "choice") {
    return createChoice({ title, help: info.help, choices: info.choices.map((value) => ({ value, title: value })), onInput: (v) => onInput(v, null) });
  }
  if (info.kind === "switch") return createSwitch({ title, help: info.help, onInput: (v) => onInput(v, null) });
  const range = info.slider ?? [info.minimum ?? 0, info.maximum ?? 1];
  const step = info.kind === "integer" ? Math.max(1, info.step) : info.step;
  const low = info.minimum_excluded && range[0] === info.minimum ? range[0] + step : range[0];
  return createSlider({
    title, help: `${info.help}${info.unit ? ` (${info.unit})` : ""}`, range: [low, range[1]],
    bounds: [info.minimum, info.maximum], openBelow: info.minimum_excluded, step, unit: info.unit, leaves: info.per_leaf ? leaves : null, onInput, onEnd,
  });
}

// Whether a parameter is there: some stand only beside some values of another.
export function stands(info, infos, values) {
  const [other, ...needed] = info.only_when ?? [];
  return !other || needed.includes(values[other] ?? infos.find((one) => one.name === other)?.default);
}

// “ƒ”: formula, one sentence, source; a popover that needs no answer.
export function createExplainer(name) {
  const id = freshId("explain");
  const panel = h("div", { id, class: "explainer", popover: "auto" });
  const button = h("button", { class: "quiet explain", type: "button", popovertarget: id, "aria-label": `formula and source of ${name}`, title: "formula and source" }, "ƒ");
  panel.addEventListener("toggle", (event) => {
    if (event.newState !== "open") return;
    const box = button.getBoundingClientRect();
    panel.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - panel.offsetWidth - 8))}px`;
    panel.style.top = `${Math.min(box.bottom + 6, window.innerHeight - panel.offsetHeight - 8)}px`;
  });
  function set(info) {
    const source = info.source;
    panel.replaceChildren(
      h("strong", {}, info.title),
      h("code", {}, info.formula),
      h("p", {}, info.summary ?? info.help ?? ""),
      source ? h("p", { class: "source" }, `${source.authors} (${source.year}), `, h("a", { href: safe(source.url), target: "_blank", rel: "noopener noreferrer" }, source.title), source.place ? `, ${source.place}` : "", ".") : "",
      source?.deviation ? h("p", { class: "source" }, `Here: ${source.deviation}`) : "",
    );
  }
  return { button, panel, set };
}

function safe(url) {
  return /^https?:\/\//.test(url ?? "") ? url : null;
}

function tidy(value, step) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  return Number(value).toFixed(digits);
}
