// The last merges as small bars: click one to return to it, pin one to compare with.

import { fill, h } from "./dom.js";
import { clock, difference, percent, plusMinus } from "./format.js";

export function createHistoryPanel({ open, pin, compare }) {
  const strip = h("div", { class: "strip", role: "list" });
  const words = h("p", { class: "comparison", role: "status" });
  const element = h("section", { class: "panel history", "aria-label": "History" },
    h("header", {}, h("h2", {}, "History"), h("span", { class: "stage" }, "validation, all examples"), words), strip);
  let rows = [];
  let pinned = null;
  let current = null;

  function draw() {
    fill(strip, rows.length === 0 ? h("p", { class: "hint" }, "Settled merges appear here.") : rows.map(entry));
  }

  function entry(row) {
    const isPinned = row.hash === pinned;
    return h("div", { class: `merge-entry${row.hash === current ? " current" : ""}${isPinned ? " pinned" : ""}`, role: "listitem" },
      h("button", { type: "button", class: "open", title: `${row.label}\n${clock(row.when)}`, onclick: () => open(row) },
        h("span", { class: "bars", "aria-hidden": "true" }, row.tasks.map((task) => h("i", { style: { height: `${Math.round(100 * task.accuracy)}%` } }))),
        h("span", { class: "value" }, `${percent(row.average, row.interval)} ${plusMinus(row.interval)}`),
        h("span", { class: "label" }, row.label)),
      h("button", { type: "button", class: "pin", "aria-pressed": String(isPinned), "aria-label": isPinned ? "unpin this merge" : "pin this merge to compare with it", title: "pin to compare", onclick: () => togglePin(row) }, isPinned ? "◆" : "◇"));
  }

  function togglePin(row) {
    pinned = pinned === row.hash ? null : row.hash;
    pin(pinned);
    draw();
    update();
  }

  async function update() {
    words.textContent = "";
    if (!pinned || !current || pinned === current) return;
    const asked = `${pinned} ${current}`;
    const answer = await compare(pinned, current);
    if (!answer || asked !== `${pinned} ${current}`) return;
    const { average } = answer.differences;
    words.textContent = `Against the pinned merge: ${difference(average.difference)} points (95 % interval ${difference(average.interval[0])} to ${difference(average.interval[1])}, paired, n ${average.n}). ${answer.words ?? ""}`;
  }

  function show(next, hash) {
    rows = next ?? rows;
    current = hash ?? current;
    if (pinned && !rows.some((row) => row.hash === pinned)) pinned = null;
    draw();
    update();
  }

  draw();
  return { element, show };
}
