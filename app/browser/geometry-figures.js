// The figures of a study, drawn in place while it goes on: its sentence, how far it is, each figure with its tools, the other tables.

import { createChart } from "./chart.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { duration } from "./format.js";
import { legendOf } from "./geometry-legend.js";
import { createGeometryTables } from "./geometry-tables.js";
import { hasBodies } from "./geometry-solid.js";

// Pixels of a picture of a figure, one that stands beside another or alone.
const NARROW = 620;
const WIDE = 900;

// `link` stands beside the title, `next` between the sentence and the figures.
export function createGeometryFigures(theme, link, next) {
  const title = h("h2", {});
  const state = h("span", { class: "stage" });
  const sentence = h("p", { class: "geometry-sentence" });
  const aloud = h("p", { class: "sr-only", role: "status" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the study that is done" });
  const head = h("section", { class: "panel geometry-head", "aria-label": "What is shown" }, bar, h("header", {}, title, state, h("span", { class: "spacer" }), link), sentence, aloud);
  const grid = h("div", { class: "geometry-figures" });
  const tables = createGeometryTables();
  const element = h("div", {}, head, next, grid, tables.element);
  let study = null;
  let panels = new Map();
  let began = null;

  // Another study: its first figure takes its room at once, the others theirs as they come.
  function prepare(info) {
    began = null;
    if (study === info.name) return;
    study = info.name;
    title.textContent = info.title;
    state.textContent = "";
    sentence.textContent = info.summary;
    panels = new Map(info.figures.map((figure, place) => [figure.name, panel(`${study}-${figure.name}`, figure, theme, place === 0)]));
    fill(grid, [...panels.values()].map((one) => one.element));
    settle();
    tables.clear();
  }

  // Narrow figures stand in pairs; one that has no neighbour takes the whole row.
  function settle() {
    const there = [...panels.values()].filter((one) => !one.element.hidden);
    for (let place = 0; place < there.length; place += 1) {
      const [one, next] = [there[place], there[place + 1]];
      const pair = !one.wide && next && !next.wide;
      one.element.className = `panel geometry-figure${pair ? "" : " wide"}`;
      if (pair) next.element.className = "panel geometry-figure beside";
      if (pair) place += 1;
    }
  }

  // How long the rest takes at the pace since the first answer; nothing before a pace is known, or for a moment's work.
  function left(share) {
    const now = performance.now();
    if (!began || share < began.share) began = { share, now };
    const seconds = ((1 - share) * (now - began.now)) / (1000 * (share - began.share));
    return share > began.share && now - began.now > 1000 && seconds >= 3 ? `, about ${duration(seconds)} left` : "";
  }

  async function show({ numbers, figures, tables: found, share, complete, long }) {
    const words = String(numbers.sentence ?? "");
    if (sentence.textContent !== words) sentence.textContent = words;
    // Read aloud once it stands, not at each of its steps.
    if ((complete || long) && aloud.textContent !== words) aloud.textContent = words;
    bar.value = share;
    head.classList.toggle("complete", complete);
    state.textContent = complete ? "" : `${Math.floor(100 * share)} % measured${left(share)}`;
    const named = new Set();
    for (const [name, one] of panels) {
      const table = found[one.table] ? one.table : Object.keys(found)[0];
      if (figures[name]) named.add(table);
      await one.show(figures[name], found[table], words, complete || long);
    }
    settle();
    tables.show(Object.entries(found).filter(([name]) => !named.has(name)), words);
  }

  return { element, prepare, show };
}

function panel(stem, info, theme, first) {
  const flat = info.solid && !hasBodies();
  const plot = h("div", { class: "plot", "aria-hidden": flat ? null : "true", style: flat ? { "--height": "auto", "--narrow": "auto" } : { "--height": `${info.height}px`, "--narrow": `${info.narrow || info.height}px` } });
  const tools = createChartTools({ name: stem, title: info.title, sentence: info.sentence, width: info.wide ? WIDE : NARROW, height: info.height, table: (table) => table ?? { header: [], rows: [] } }, theme);
  const legend = h("div", { class: "legend", "aria-hidden": "true" });
  const element = h("section", { class: "panel geometry-figure", "aria-label": info.title, hidden: !first }, h("header", {}, h("h3", {}, info.title), h("span", { class: "spacer" }), tools.element), legend, plot);
  const chart = flat ? null : createChart(plot, theme);
  if (flat) fill(plot, h("p", { class: "hint" }, "This browser draws no bodies in three dimensions (WebGL is off): the contour shows the same numbers."));
  const drawn = info.solid ? turned() : (figure) => figure;

  // What was there stays, faint, until it is known whether the new answer has it.
  async function show(figure, table, words, settled) {
    if (figure || settled) element.hidden = !figure;
    plot.classList.toggle("stale", !figure);
    tools.element.hidden = !figure || flat;
    if (!figure || flat) return null;
    tools.show({ figure, numbers: table, words });
    fill(legend, legendOf(figure));
    return chart.draw(drawn(figure));
  }

  // A body stays as the visitor turned it.
  function turned() {
    return (figure) => ({ ...figure, layout: { ...figure.layout, scene: { ...figure.layout.scene, uirevision: "basin" } } });
  }

  return { element, show, table: info.table, wide: info.wide };
}
