// What every chart carries in its header: “?” says in one sentence what it shows and on what it was measured; “Save”
// gives it as PNG, SVG or CSV, or shows the numbers as a table. A new chart needs a name, a sentence and a table.

import { picture } from "./chart-picture.js";
import { fill, freshId, h } from "./dom.js";
import { signed } from "./format.js";
import { csv } from "./tables.js";

// name: stem of the files; title, sentence: for people; width, height: pixels of a picture without its title; table(numbers): { header, rows }.
// show({ figure, numbers, words, hash }): what is on the screen, in `words` the split and n, and its recipe's hash; a chart
// that is not of one recipe has none.
export function createChartTools({ name, title, sentence, width, height, table }, theme) {
  let shown = null;
  const measured = h("p", { class: "source" });
  const failed = h("p", { class: "source", role: "status" });
  const about = card(`about ${title}`, "?", `what ${title} shows`, "about", h("p", {}, sentence), measured);
  const item = (text, says, act) => h("button", { type: "button", class: "quiet", "aria-label": `${title} as ${says}`, onclick: act }, text);
  const grid = h("div", { class: "grid", tabindex: "0", role: "group", "aria-label": `the numbers of ${title}` });
  const sheet = h("div", { id: freshId("table"), class: "explainer chart-table", popover: "auto", role: "region", "aria-label": `${title} as a table` });
  const save = card(`save ${title}`, "Save", `save ${title} as a picture or a table`, "save",
    h("div", { class: "items" },
      item("PNG", "PNG", () => take("png")), item("SVG", "SVG", () => take("svg")), item("CSV", "CSV", takeTable), item("Table", "a table", openTable)),
    failed);
  sheet.append(h("header", {}, h("h2", {}, title), measured.cloneNode(), h("button", { type: "button", class: "quiet close", "aria-label": `close the table of ${title}`, onclick: () => sheet.hidePopover() }, "✕")), grid);
  sheet.addEventListener("toggle", (event) => {
    if (event.newState === "open") place(save.button, sheet);
    else fill(grid);
  });
  const element = h("span", { class: "chart-tools", hidden: true }, about.button, save.button, about.panel, save.panel, sheet);

  function show(next) {
    shown = next;
    element.hidden = false;
    measured.textContent = `Measured on: ${next.words}.`;
    if (sheet.matches(":popover-open")) fillTable();
  }

  async function take(format) {
    const { figure, words, hash } = shown;
    try {
      hand(await picture({ figure, theme, title, width, height, words: hash ? `${words} · recipe ${short(hash)}` : words, format }), `${stem(hash)}.${format}`);
      failed.textContent = "";
      save.panel.hidePopover();
    } catch (error) {
      failed.textContent = `The picture could not be made (${error.message ?? error}).`;
    }
  }

  function takeTable() {
    const address = URL.createObjectURL(new Blob([csv(table(shown.numbers))], { type: "text/csv;charset=utf-8" }));
    hand(address, `${stem(shown.hash)}.csv`);
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    save.panel.hidePopover();
  }

  function openTable() {
    save.panel.hidePopover();
    fillTable();
    sheet.showPopover();
    grid.focus();
  }

  function fillTable() {
    const { header, rows } = table(shown.numbers);
    sheet.querySelector(".source").textContent = shown.hash ? `${shown.words}, recipe ${short(shown.hash)}` : shown.words;
    fill(grid, h("table", {}, h("caption", { class: "sr-only" }, `${title}, ${shown.words}`),
      h("thead", {}, h("tr", {}, header.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, String(first)), others.map((value) => h("td", { class: typeof value === "string" ? null : "value" }, readable(value))))))));
  }

  function stem(hash) {
    return hash ? `basin-${name}-${short(hash)}` : `basin-${name}`;
  }

  return { element, show };
}

function card(says, text, help, kind, ...children) {
  const id = freshId(kind);
  const panel = h("div", { id, class: `explainer chart-${kind}`, popover: "auto", role: "region", "aria-label": says }, children);
  const button = h("button", { type: "button", class: "quiet", popovertarget: id, "aria-label": help, title: help }, text);
  panel.addEventListener("toggle", (event) => {
    if (event.newState === "open") place(button, panel);
  });
  return { button, panel };
}

function place(button, panel) {
  const box = button.getBoundingClientRect();
  panel.style.left = `${Math.max(8, Math.min(box.right - panel.offsetWidth, window.innerWidth - panel.offsetWidth - 8))}px`;
  panel.style.top = `${Math.max(8, Math.min(box.bottom + 6, window.innerHeight - panel.offsetHeight - 8))}px`;
}

function hand(address, file) {
  h("a", { href: address, download: file }).click();
}

function short(hash) {
  return String(hash).replace(/[^0-9a-f]/g, "").slice(0, 12) || "chart";
}

function readable(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return value;
  return signed(Number.isInteger(value) ? String(value) : value.toPrecision(4));
}
