// The table of saved results: one page of it, sorted by the server.

import { fill, h } from "./dom.js";
import { count, day, percent, plusMinus } from "./format.js";

const COLUMNS = [["name", "Merge"], ["method", "Method"], ["average", "Average"], [null, "Tasks"], ["n", "n"], [null, "Tags"], ["when", "Saved"]];

export function createLibraryTable(search, { sort, select, openRow, menu }) {
  const head = h("tr", {});
  const body = h("tbody", {});
  const empty = h("p", { class: "hint empty" });
  const table = h("table", { class: "results" }, h("caption", { class: "sr-only" }, "Saved results"), h("thead", {}, head), body);
  const element = h("div", { class: "results-box" }, table, empty);

  function show(rows, selected, titles, words) {
    fill(head, h("th", { scope: "col" }, h("span", { class: "sr-only" }, "select")), COLUMNS.map(([key, title]) => column(key, title)), h("th", { scope: "col" }, h("span", { class: "sr-only" }, "more")));
    fill(body, rows.map((row) => line(row, selected.has(row.id), titles)));
    table.hidden = rows.length === 0;
    empty.textContent = words;
  }

  function column(key, title) {
    if (key === null) return h("th", { scope: "col", class: title.toLowerCase() }, title);
    const sorted = search.sort === key;
    return h("th", { scope: "col", class: key, "aria-sort": sorted ? (search.descending ? "descending" : "ascending") : "none" },
      h("button", { type: "button", class: "sort", onclick: () => sort(key) }, title, h("span", { "aria-hidden": "true" }, sorted ? (search.descending ? " ↓" : " ↑") : "")));
  }

  function line(row, chosen, titles) {
    const title = row.name || row.label;
    const box = h("input", { type: "checkbox", "aria-label": `select ${title}`, onchange: () => { select(row, box.checked); tr.classList.toggle("chosen", box.checked); } });
    box.checked = chosen;
    const notes = [row.tested ? "test score" : null, row.shared ? "shared" : null, row.imported ? "imported from a file" : null].filter(Boolean);
    const tr = h("tr", { class: chosen ? "chosen" : null, "data-id": row.id },
      h("td", { class: "box" }, box),
      h("th", { scope: "row", class: "name" }, h("button", { type: "button", class: "open", onclick: () => openRow(row) }, title),
        row.name ? h("small", {}, row.label) : null, notes.length ? h("small", { class: "notes" }, notes.join(" · ")) : null),
      h("td", { class: "method" }, titles[row.method] ?? row.method),
      h("td", { class: "average" }, h("strong", {}, percent(row.average, row.interval)), h("small", {}, ` ${plusMinus(row.interval)} %`)),
      h("td", { class: "tasks" }, bars(row.tasks)),
      h("td", { class: "n" }, count(row.n)),
      h("td", { class: "tags" }, row.tags.map((tag) => h("span", { class: "tag" }, tag))),
      h("td", { class: "when" }, h("time", { datetime: row.when, title: row.when }, day(row.when))),
      h("td", { class: "more" }, h("button", { type: "button", class: "quiet", "aria-haspopup": "dialog", "aria-label": `rename, tag, open, share or delete ${title}`, onclick: (event) => menu(row, event.currentTarget) }, "⋯")));
    return tr;
  }

  return { element, show };
}

function bars(tasks) {
  const words = tasks.map((task) => `${task.title} ${percent(task.accuracy)} %`).join(", ");
  return h("span", { class: "mini", role: "img", "aria-label": words, title: words.replaceAll(", ", "\n") }, tasks.map((task) => h("i", {
    style: { height: `${Math.max(2, Math.round(100 * task.accuracy))}%`, background: task.colour === null ? "var(--merge)" : `var(--expert-${task.colour % 8})` } })));
}
