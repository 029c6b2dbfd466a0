// The rows of a comparison as a table that can be sorted; a method's numbers are buttons that bring its recipe to the studio.

import { fill, h } from "./dom.js";
import { difference, percent, plusMinus } from "./format.js";

const best = (row) => row.found ?? row.defaults ?? row;
const accuracy = (report) => report?.average.accuracy ?? null;

export function createMethodsTable({ take }) {
  const caption = h("caption", { class: "sr-only" });
  const header = h("tr", {});
  const body = h("tbody", {});
  const element = h("div", { class: "results-box", tabindex: "0", role: "group", "aria-label": "all methods as a table" },
    h("table", { class: "results" }, caption, h("thead", {}, header), body));
  let sorting = { key: "best", descending: true };
  let head = null;
  let rows = [];

  function columns() {
    const searched = head.search ? [
      { key: "best", title: "Searched", value: (row) => accuracy(best(row)), cell: (row) => row.kind === "method" ? number(row, row.found, "the setting found for") : "" },
      { key: "gain", title: "Gain", value: (row) => row.found?.gain.value ?? null, cell: (row) => row.found ? gain(row.found) : "" },
      { key: "found", title: "Found", value: (row) => row.found?.tried ?? null, cell: (row) => row.found ? settings(row.found) : "" },
    ] : [];
    return [
      { key: "title", title: "Method", value: (row) => row.title.toLowerCase(), cell: name, heads: true },
      { key: head.search ? "defaults" : "best", title: "Defaults", value: (row) => accuracy(row.defaults ?? row), cell: (row) => row.kind === "method" ? number(row, row.defaults, "the defaults of") : plainNumber(row) },
      ...searched,
      ...head.tasks.map((task, place) => ({ key: `task ${place}`, title: short(task.task), help: task.title, value: (row) => best(row).tasks[place].accuracy, cell: (row) => percent(best(row).tasks[place].accuracy, best(row).tasks[place].interval) })),
      { key: "seconds", title: "s", help: "seconds of merging and measuring", value: (row) => row.seconds ?? null, cell: (row) => row.seconds === undefined ? "" : row.seconds.toFixed(1) },
    ];
  }

  function show(nextHead, nextRows) {
    [head, rows] = [nextHead, nextRows];
    draw();
  }

  function draw() {
    const all = columns();
    const by = all.find((column) => column.key === sorting.key) ?? all[0];
    const sign = sorting.descending ? -1 : 1;
    const sorted = [...rows].sort((a, b) => compared(by.value(a), by.value(b), sign));
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.at : undefined;
    caption.textContent = `All methods: mean accuracy in percent, ${head.words}`;
    fill(header, all.map((column) => {
      const on = column === by;
      return h("th", { scope: "col", class: `col-${column.key.split(" ")[0]}`, title: column.help, "aria-sort": on ? (sorting.descending ? "descending" : "ascending") : "none" },
        h("button", { type: "button", class: "sort", "data-at": `sort ${column.key}`, onclick: () => sort(column.key) }, column.title, h("span", { "aria-hidden": "true" }, on ? (sorting.descending ? " ↓" : " ↑") : "")));
    }));
    fill(body, sorted.map((row) => h("tr", { class: row.kind, "data-method": row.method ?? row.name },
      all.map((column) => h(column.heads ? "th" : "td", { scope: column.heads ? "row" : null, class: `col-${column.key.split(" ")[0]}`, "data-title": column.title }, column.cell(row))))));
    if (focused !== undefined) [...element.querySelectorAll("[data-at]")].find((one) => one.dataset.at === focused)?.focus({ preventScroll: true });
  }

  function sort(key) {
    sorting = { key, descending: sorting.key === key ? !sorting.descending : key !== "title" };
    draw();
  }

  function name(row) {
    if (row.kind !== "method") return row.title;
    const report = best(row);
    return [h("button", { type: "button", class: "open", "data-at": `open ${row.method}`, title: `open ${row.title} in the studio`, onclick: () => take(report.recipe) }, row.title),
      row.transductive ? h("small", { class: "tag" }, "transductive") : null];
  }

  function number(row, report, says) {
    if (!report) return "";
    return h("button", { type: "button", class: "open", "data-at": `${says} ${row.method}`, "aria-label": `${says} ${row.title}: ${percent(report.average.accuracy, report.average.interval)} percent; open in the studio`, title: "open in the studio", onclick: () => take(report.recipe) }, plainNumber(report));
  }

  return { element, show };
}

function plainNumber(report) {
  const { accuracy: value, interval } = report.average;
  return [h("strong", {}, percent(value, interval)), h("small", {}, ` ${plusMinus(interval)}`)];
}

function gain(found) {
  if (Object.keys(found.settings).length === 0) return "0";
  const [low, high] = found.gain.interval;
  return [difference(found.gain.value), h("small", {}, ` ${difference(low)} to ${difference(high)}`)];
}

function settings(found) {
  const named = Object.entries(found.settings).map(([key, value]) => `${key === "lambda" ? "λ" : key} ${value}`);
  return [named.join(", ") || "defaults", h("small", {}, ` of ${found.tried}`)];
}

// What is not known comes last, whichever way a column is sorted.
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (a < b ? -1 : a > b ? 1 : 0);
}

function short(task) {
  return task.split("/").at(-1);
}
