// The plan of an export as a table: what is written, what it asks of the server, and what becomes of the leaves and why.

import { fill, h } from "./dom.js";
import { bytes, count, duration } from "./format.js";

const KINDS = ["merged", "resized", "copied", "tied", "left out"];

export function createPlanTable() {
  const told = h("div", { role: "status" });
  const leaves = createLeaves();
  const element = h("div", { class: "export-plan" }, told, leaves.element);

  // `way`: [label, act] where the page has what is in the way, else null.
  function show(plan, way) {
    const { disk, memory, passes, missing } = plan;
    const short = disk.needed > disk.free;
    fill(told, h("p", { class: "export-words" }, plan.words), h("dl", {},
      row("Weights", `${bytes(plan.bytes)} in ${plan.files.length === 1 ? "one file" : `${count(plan.files.length)} files`}`, `${plan.dtype}, ${many(plan.leaves)}`),
      missing.length ? row("To download", bytes(missing.reduce((sum, one) => sum + one.bytes, 0)), missing.map((one) => one.label).join(", "), true) : null,
      row("Disk", `${bytes(disk.needed)} needed`, `${bytes(disk.free)} free`, short),
      row("Memory", `at most ${bytes(memory.needed)}`, memory.has === null ? "" : `of ${bytes(memory.has)}`),
      row("Takes", `about ${duration(plan.seconds)}`, reads(passes)),
      row("Card", plan.test ? "validation and test" : "validation", plan.test ? "with your test score" : "score on test first to add a test score")),
    plan.warnings.map((text) => h("p", { class: "export-warning" }, text)),
    plan.problems.map((problem) => h("p", { class: "export-problem" }, problem.sentence)),
    way ? h("button", { type: "button", class: "primary", onclick: way[1] }, way[0]) : null);
    leaves.show(plan.outcomes);
  }

  function clear() {
    fill(told);
    leaves.show([]);
  }

  return { element, show, clear };
}

// What became, or will become, of the leaves; what is unfolded stays so while the plan is made anew.
export function createLeaves() {
  const element = h("ul", { class: "export-leaves", "aria-label": "what becomes of the leaves" });
  const unfolded = new Set();
  let shown = "";

  function show(outcomes) {
    const text = JSON.stringify(outcomes);
    if (text === shown) return;
    shown = text;
    const sorted = [...outcomes].sort((a, b) => KINDS.indexOf(a.what) - KINDS.indexOf(b.what));
    fill(element, sorted.map((outcome) => h("li", {}, entry(outcome))));
  }

  function entry(outcome) {
    const key = `${outcome.what} ${outcome.reason}`;
    const names = h("p", { class: "export-names" });
    const size = outcome.bytes ? `, ${bytes(outcome.bytes)}` : "";
    const found = h("details", { open: unfolded.has(key), ontoggle: unfold },
      h("summary", {}, h("span", { class: "export-what" }, outcome.what), h("span", {}, `${many(outcome.count)}${size}`), h("small", {}, outcome.reason)), names);

    function unfold() {
      unfolded[found.open ? "add" : "delete"](key);
      const more = outcome.count - outcome.leaves.length;
      names.textContent = found.open ? `${outcome.leaves.join(", ")}${more > 0 ? ` and ${count(more)} more` : ""}` : "";
    }

    unfold();
    return found;
  }

  return { element, show };
}

function reads({ reads: times, why }) {
  return times === 1 ? "in one pass over the experts" : `at most ${times} passes over the experts: ${why.join("; ")}`;
}

function many(leaves) {
  return leaves === 1 ? "1 leaf" : `${count(leaves)} leaves`;
}

function row(name, value, more, trouble = false) {
  return [h("dt", {}, name), h("dd", { class: trouble ? "trouble" : null }, value, h("small", {}, more))];
}
