// Numbers of a study that no figure shows: each as a table that opens, and as CSV.

import { fill, h } from "./dom.js";
import { signed } from "./format.js";
import { csv } from "./tables.js";

export function createGeometryTables() {
  const element = h("section", { class: "panel geometry-tables", "aria-label": "More numbers", hidden: true });
  let key = "";
  let open = new Map();

  // Tables that are open stay open and are written anew.
  function show(tables, words) {
    element.hidden = tables.length === 0;
    const next = tables.map(([name]) => name).join();
    if (key !== next) {
      key = next;
      open = new Map(tables.map(([name, table]) => [name, one(name, table.title)]));
      fill(element, h("header", {}, h("h3", {}, "More numbers")), [...open.values()].map((entry) => entry.element));
    }
    for (const [name, table] of tables) open.get(name).show(table, words);
  }

  return { element, show, clear: () => show([], "") };
}

function one(name, title) {
  let shown = null;
  const grid = h("div", { class: "grid", tabindex: "0", role: "group", "aria-label": `the numbers of ${title}` });
  const take = h("button", { type: "button", class: "quiet", "aria-label": `${title} as CSV`, onclick: save }, "CSV");
  const element = h("details", { class: "chart-table", ontoggle: write }, h("summary", {}, title), take, grid);

  function show(table) {
    shown = table;
    write();
  }

  function write() {
    if (!element.open || !shown) return;
    fill(grid, h("table", {}, h("caption", { class: "sr-only" }, title),
      h("thead", {}, h("tr", {}, shown.header.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, shown.rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, told(first)), others.map((value) => h("td", { class: typeof value === "number" ? "value" : null }, told(value))))))));
  }

  function save() {
    const address = URL.createObjectURL(new Blob([csv(shown)], { type: "text/csv;charset=utf-8" }));
    h("a", { href: address, download: `basin-${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  return { element, show };
}

function told(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? signed(Number.isInteger(value) ? String(value) : value.toPrecision(4)) : value;
}
