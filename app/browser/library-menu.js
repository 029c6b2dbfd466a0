// What can be done with one saved result: a small card beside its row.

import { fill, h } from "./dom.js";

export function createLibraryMenu({ rename, tag, openInStudio, link, unshare, file, remove }) {
  const name = h("input", { type: "text", id: "basin-result-name", maxlength: 120, autocomplete: "off" });
  const fresh = h("input", { type: "text", id: "basin-result-tag", maxlength: 40, autocomplete: "off", placeholder: "a word or two" });
  const tags = h("div", { class: "chips" });
  const acts = h("div", { class: "acts" });
  let row = null;
  const element = h("div", { class: "explainer merge-menu", popover: "auto", role: "dialog", "aria-label": "this result" },
    form("basin-result-name", "Name", name, "Rename", () => rename(row, name.value)),
    form("basin-result-tag", "Tag", fresh, "Add", () => tag(row, [fresh.value], [])), tags, acts);

  function form(id, label, input, verb, what) {
    return h("form", { onsubmit: (event) => { event.preventDefault(); element.hidePopover(); what(); } },
      h("label", { for: id }, label), input, h("button", { type: "submit", class: "quiet" }, verb));
  }

  const act = (label, what) => h("button", { type: "button", class: "quiet", onclick: () => { element.hidePopover(); what(row); } }, label);

  function show(next, button) {
    row = next;
    name.value = row.name;
    name.placeholder = row.label;
    fresh.value = "";
    fill(tags, row.tags.map((one) => h("button", { type: "button", class: "tag", "aria-label": `take off the tag ${one}`, onclick: () => { element.hidePopover(); tag(row, [], [one]); } }, `${one} ✕`)));
    fill(acts, act("Open in studio", openInStudio), act("Copy link", link), row.shared ? act("Stop sharing", unshare) : null, act("Download", file), act("Delete", remove));
    element.showPopover();
    const box = button.getBoundingClientRect();
    element.style.left = `${Math.max(8, Math.min(box.right - element.offsetWidth, window.innerWidth - element.offsetWidth - 8))}px`;
    element.style.top = `${Math.max(8, Math.min(box.bottom + 4, window.innerHeight - element.offsetHeight - 8))}px`;
    name.focus();
  }

  return { element, show };
}
