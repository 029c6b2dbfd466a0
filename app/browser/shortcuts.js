// The keyboard: one list, from which the keys work, the controls announce theirs, and the sheet is drawn.
//
// A shortcut does what its control does: it presses it or puts the focus on it. None works while somebody types, and
// those of a single key can be switched off (some people speak to their computer, and speech is keys).

import { h } from "./dom.js";
import { createPopover } from "./popover.js";

const PRESS = "press";
const FOCUS = "focus";
const STUDIO = "#basin-view-studio ";

const SHORTCUTS = [
  { keys: ["?"], says: "show or hide this sheet", does: PRESS, target: "[data-act=keys]" },
  { keys: ["Ctrl+Z", "u"], says: "undo", does: PRESS, target: "[data-act=undo]" },
  { keys: ["Ctrl+Shift+Z", "Ctrl+Y", "r"], says: "redo", does: PRESS, target: "[data-act=redo]" },
  { keys: ["0"], says: "reset to the family's first merge", does: PRESS, target: "[data-act=reset]" },
  { keys: ["l"], says: "go to λ", does: FOCUS, target: `${STUDIO}.slider-row.lambda input[type=range]` },
  { keys: ["m"], says: "go to the method", does: FOCUS, target: `${STUDIO}[data-act=method] [role=combobox]` },
  { keys: ["p"], says: "pin the current merge, or unpin it", does: PRESS, target: `${STUDIO}.merge-entry.current .pin` },
  { keys: ["s"], says: "share", does: PRESS, target: "[data-act=share]" },
  { keys: ["e"], says: "examples", does: PRESS, target: "[data-act=examples]" },
  { keys: ["t"], says: "begin or leave the tour", does: PRESS, target: "[data-act=tour]" },
  { keys: ["1"], range: "1 – 8", says: "use or leave out an expert", does: PRESS, targets: `${STUDIO}.experts [role=switch]`, many: 8 },
  { keys: ["]", "["], says: "next, previous view", does: PRESS, ring: ".basin [role=tab]", current: "[aria-selected=true]" },
  { keys: ["j", "k"], says: "next, previous panel", does: FOCUS, ring: ".basin [role=tabpanel]:not([hidden]) section.panel:not([hidden])" },
];

const SWITCH = "basin-single-keys";

export function createShortcuts({ show }) {
  const single = h("input", { type: "checkbox", id: "basin-single-keys", onchange: () => keep(single.checked) });
  single.checked = kept();
  const { button, panel, element } = createPopover({ title: "Keys", className: "keys", act: "keys", says: "keyboard shortcuts (?)" },
    h("dl", {}, SHORTCUTS.map((one) => [
      h("dt", {}, one.range ? h("kbd", {}, one.range) : one.keys.map((key) => h("kbd", {}, spelled(key)))), h("dd", {}, one.says)]),
      h("dt", {}, h("kbd", {}, "Tab"), h("kbd", {}, "arrows")), h("dd", {}, "every control, and the handles on the charts"),
      h("dt", {}, h("kbd", {}, "Esc")), h("dd", {}, "close a card, leave the tour")),
    h("div", { class: "switch-row" }, single, h("label", { for: "basin-single-keys" }, "shortcuts of a single key")));

  function heard(event) {
    if (event.defaultPrevented || event.altKey || event.isComposing || !event.key) return;
    const key = event.ctrlKey || event.metaKey ? `Ctrl+${event.shiftKey ? "Shift+" : ""}${event.key.toUpperCase()}` : event.key;
    if (typing(event.target) || (key.length === 1 && key !== "?" && !single.checked)) return;
    if (SHORTCUTS.some((one) => act(one, key))) event.preventDefault();
  }

  function act(one, key) {
    if (one.many) {
      const place = Number(key) - 1;
      return Number.isInteger(place) && place >= 0 && place < one.many ? reach(document.querySelectorAll(one.targets)[place], one.does) : false;
    }
    const which = one.keys.indexOf(key);
    if (which < 0) return false;
    return one.ring ? turn(one, which === 0 ? 1 : -1) : reach(document.querySelector(one.target), one.does);
  }

  function turn(one, by) {
    const ring = [...document.querySelectorAll(one.ring)];
    const at = ring.findIndex((element) => (one.current ? element.matches(one.current) : element.contains(document.activeElement)));
    return reach(ring[(at < 0 && by < 0 ? ring.length - 1 : at + by + ring.length) % ring.length], one.does);
  }

  // What stands in the studio is reached in the studio.
  function reach(target, does) {
    if (!target) return false;
    if (target.closest("#basin-view-studio[hidden]")) show("studio");
    if (does === PRESS) target.click();
    else {
      if (!target.matches("a, button, input, select, [tabindex]")) target.tabIndex = -1;
      target.focus();
      target.scrollIntoView({ block: "nearest" });
    }
    return true;
  }

  window.addEventListener("keydown", heard);
  panel.addEventListener("toggle", announce);
  return { button: element, state: announce };

  // Controls say their own keys to whoever reads the page aloud.
  function announce() {
    for (const one of SHORTCUTS) {
      if (one.target) document.querySelector(one.target)?.setAttribute("aria-keyshortcuts", one.keys.map(announced).join(" "));
      if (one.targets) document.querySelectorAll(one.targets).forEach((target, i) => i < one.many && target.setAttribute("aria-keyshortcuts", String(i + 1)));
    }
    button.setAttribute("aria-keyshortcuts", "?");
  }
}

function typing(target) {
  return target instanceof Element && target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=radio], [type=button]), [contenteditable=true], [contenteditable=true] *");
}

const mac = () => /Mac|iPhone|iPad/.test(navigator.platform);

function spelled(key) {
  return mac() ? key.replace("Ctrl", "⌘") : key;
}

function announced(key) {
  return key.replace("Ctrl", mac() ? "Meta" : "Control");
}

function kept() {
  try {
    return window.localStorage.getItem(SWITCH) !== "off";
  } catch (error) {
    console.info("Basin: settings are not kept here.", error.name);
    return true;
  }
}

function keep(on) {
  try {
    window.localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch (error) {
    console.info("Basin: settings are not kept here.", error.name);
  }
}
