// The checkpoints that can be picked, by where they come from: one as base, any as experts.

import { fill, freshId, h } from "./dom.js";
import { plain } from "./families.js";
import { bytes } from "./format.js";
import { adapterWords, shortRef } from "./uploads.js";

const HUB = "Hugging Face Hub";

// A checkpoint of the Hub as the table lists it; of one that a link brought only the reference is known at first.
export function hubRow({ ref, bytes: size = null, missing = null, adapter = null }) {
  const [id, commit = ""] = ref.slice("hub:".length).split("@");
  return { ref, title: id, group: HUB, task: null, commit: commit.slice(0, 8), bytes: size, missing, adapter };
}

export function createModelsTable(description, { get, set, remove, tunedFrom }) {
  const group = freshId("base");
  const element = h("div", { class: "models-table", tabindex: "0", role: "group", "aria-label": "checkpoints" });
  const facts = new Map();
  let rows = [];

  function draw(all) {
    rows = all;
    facts.clear();
    const focused = document.activeElement?.dataset.key;
    const { scrollTop } = element;
    const groups = [...new Set(rows.map((row) => row.group))];
    fill(element, h("table", {}, h("caption", { class: "sr-only" }, "Checkpoints that can be merged"),
      h("thead", {}, h("tr", {}, ["base", "expert", "checkpoint", "trained on"].map((text) => h("th", { scope: "col" }, text)))),
      groups.map((title) => h("tbody", {},
        h("tr", { class: "group" }, h("th", { colspan: 4, scope: "rowgroup" }, title)),
        rows.filter((row) => row.group === title).map(entry))),
      h("tbody", {}, h("tr", {}, h("td", {}, radio(null, "no base")), h("td", {}), h("th", { scope: "row", colspan: 2 }, "no base")))));
    element.scrollTop = scrollTop;
    if (focused) [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
    sizes();
  }

  function entry(row) {
    return h("tr", { "data-ref": row.ref }, h("td", {}, radio(row.ref, `${named(row)} as base`, row.adapter)), h("td", {}, tick(row)),
      h("th", { scope: "row" }, row.title, small(row)), h("td", {}, row.group === HUB ? [remover(row), trainedOn(row)] : trainedOn(row)));
  }

  function small(row) {
    if (row.group !== HUB) return h("small", {}, shortRef(row.ref), adapterNote(row));
    const size = h("span", {});
    facts.set(row, size);
    const way = isAt(get().base, row) ? h("button", { type: "button", class: "link", "data-key": `tuned ${row.ref}`, onclick: () => tunedFrom(row.title) }, "fine-tuned from this") : null;
    return h("small", {}, size, way, adapterNote(row));
  }

  function adapterNote({ adapter }) {
    return adapter ? h("span", { class: "models-adapter" }, adapterWords(adapter)) : null;
  }

  function remover(row) {
    return h("button", { type: "button", class: "quiet models-remove", "aria-label": `remove ${row.title}`, title: "take it out of this list", onclick: () => remove(row.ref) }, "✕");
  }

  // An adapter is added to a base, and is none itself.
  function radio(ref, says, adapter = null) {
    const { base } = get();
    const checked = ref === null ? base === null : base !== null && plain(base) === plain(ref);
    return h("input", { type: "radio", name: group, "aria-label": says, "data-key": `base ${ref}`, checked, disabled: Boolean(adapter) && !checked, title: adapter ? "a LoRA adapter is added to a base, and is none itself" : null, onchange: () => {
      const chosen = get();
      set({ ...chosen, base: ref, experts: ref === null ? chosen.experts : chosen.experts.filter((one) => plain(one) !== plain(ref)) });
    } });
  }

  function tick(row) {
    return h("input", { type: "checkbox", "aria-label": `${named(row)} as expert`, "data-key": `expert ${row.ref}`, checked: get().experts.some((one) => isAt(one, row)), disabled: isAt(get().base, row), onchange: (event) => {
      const chosen = get();
      const joins = event.target.checked;
      const without = chosen.experts.filter((one) => !isAt(one, row));
      const experts = joins ? [...without, row.ref] : without;
      const order = (ref) => rows.findIndex((one) => isAt(ref, one));
      set({ ...chosen, experts: experts.sort((a, b) => order(a) - order(b)), tasks: tasksOf(chosen, row, joins) });
    } });
  }

  // The task of an expert that joins comes with it; one that nobody was trained on any more stays until it is unticked.
  function tasksOf({ tasks }, row, joins) {
    return joins && row.task && !tasks.includes(row.task) ? [...tasks, row.task] : tasks;
  }

  function titleOf(name) {
    return description.tasks.find((task) => task.name === name)?.title ?? "";
  }

  // Of a checkpoint from elsewhere only the visitor knows the task.
  function trainedOn(row) {
    const chosen = get();
    const said = chosen.trained[plain(row.ref)];
    if (row.task || !chosen.experts.some((ref) => isAt(ref, row))) return titleOf(said ?? row.task);
    const offered = description.tasks.filter(({ name }) => chosen.tasks.includes(name) || name === said);
    return h("select", { "aria-label": `task that ${named(row)} was trained on`, "data-key": `task ${row.ref}`, onchange: (event) => {
      const { [plain(row.ref)]: before, ...others } = chosen.trained;
      set({ ...chosen, trained: event.target.value ? { ...others, [plain(row.ref)]: event.target.value } : others });
    } }, h("option", { value: "" }, "not known"), offered.map((task) => h("option", { value: task.name, selected: task.name === said }, task.title)));
  }

  // What became known of models of the Hub after they were drawn.
  function sizes() {
    for (const [row, place] of facts) place.textContent = [row.commit, sizeOf(row)].filter(Boolean).join(" · ");
  }

  // Into view where the table scrolls by itself; else the visitor stays where models are found.
  function reveal(ref) {
    const row = [...element.querySelectorAll("[data-ref]")].find((one) => one.dataset.ref === ref);
    if (row && element.scrollHeight > element.clientHeight) row.scrollIntoView({ block: "nearest" });
  }

  return { element, draw, sizes, reveal, taskOf: (ref) => get().trained[plain(ref)] ?? rows.find((row) => isAt(ref, row))?.task ?? null };
}

function named(row) {
  return row.group === HUB ? row.title : row.ref;
}

function isAt(ref, row) {
  return ref !== null && plain(ref) === plain(row.ref);
}

function sizeOf({ bytes: size, missing }) {
  if (size === null) return "";
  if (!missing) return missing === null ? bytes(size) : `${bytes(size)}, here`;
  return missing >= size ? `${bytes(size)}, not downloaded` : `${bytes(size)}, ${bytes(missing)} missing`;
}
