// Add a task: a data set is looked at first, so that columns, classes and what would be made of it are seen before anything is
// downloaded; then the server prepares it.

import { fill, freshId, h } from "./dom.js";
import { bytes, count } from "./format.js";
import { plain, shortNames } from "./families.js";

const EXAMPLES = 400;
const NAMED = 8;
const MOST_ASKED = 64;
const HOLDS = { zero_shot: "owner/name of a whole CLIP", own: "an expert with a classifier" };

// `models()` gives the chosen { base, experts }, `known()` every reference that is listed; `prepare(specs, expert)` is told what to
// make, `ask` answers or says why not.
// `offer(listed)` is told what of the visitor's and of the server's own can be chosen.
export function createTaskForm(server, { models, known, ask, prepare }) {
  const source = field("data set", { type: "text", placeholder: "owner/name, or its address", autocomplete: "off", spellcheck: "false" });
  const look = h("button", { type: "submit", class: "quiet boxed" }, "Look");
  const about = h("div", { class: "task-about" });
  const here = choice("or data that are here", [], "", (value) => {
    if (!value) return;
    source.input.value = value;
    see();
  });
  const element = h("form", { class: "task-form", onsubmit: (event) => { event.preventDefault(); see(); } },
    h("div", { class: "task-line" }, source.row, look, here.row), about);
  let seen = null;
  here.row.hidden = true;

  function offer({ uploads, local }) {
    const groups = [["your uploads", uploads.map((one) => [one.source, one.name])], ["on this server", local.map((name) => [name, name])]];
    fill(here.input, h("option", { value: "" }, "—"), groups.filter(([, rows]) => rows.length).map(([title, rows]) =>
      h("optgroup", { label: title }, rows.map(([value, text]) => h("option", { value }, text)))));
    here.row.hidden = !uploads.length && !local.length;
    const gone = seen?.source.startsWith("upload:") && !uploads.some((one) => one.source === seen.source);
    if (gone) {
      seen = null;
      source.input.value = "";
      fill(about);
    }
  }

  async function see(part = null) {
    look.disabled = true;
    const answer = await ask(() => server.task_look({ source: source.input.value, models: asked(), ...(part ? { part } : {}) }));
    look.disabled = false;
    if (!answer) return;
    seen = answer;
    draw();
    about.scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const { proposed, columns } = seen;
    const several = seen.parts.length > 1;
    const parts = choice("part", [...(seen.part ? [] : [""]), ...seen.parts], seen.part ?? "", (value) => { if (value) see(value); });
    if (!seen.part) return fill(about, h("p", {}, `${seen.title} has several parts.`), parts.row);
    const names = columns.map((column) => column.name);
    const input = choice(proposed.kind === "texts" ? "texts" : "pictures", ["", ...names], proposed.input ?? "");
    const label = choice("label", ["", ...names], proposed.label ?? "");
    const head = choice("head", ["zero_shot", "own"], proposed.kind === "texts" ? "own" : "zero_shot", () => offerModels(head.input.value, model), { zero_shot: "zero-shot, by CLIP's text tower", own: "an expert's own classifier" });
    const model = field("of", { type: "text", spellcheck: "false", autocomplete: "off" });
    offerModels(head.input.value, model);
    const experts = models().experts;
    const expert = choice("trained on it", ["", ...experts], "", (ref) => { if (head.input.value === "own" && seen.heads.own.includes(ref)) model.input.value = ref; }, Object.fromEntries(shortNames(experts).map((name, place) => [experts[place], name])));
    const most = field("examples of a split", { type: "number", min: 20, max: 20000, step: 1, value: EXAMPLES });
    const go = h("button", { type: "button", class: "quiet boxed", onclick: () => make({ input, label, head, model, expert, most }) }, "Prepare");
    fill(about, h("p", {}, summary()), several ? parts.row : null,
      h("div", { class: "task-fields" }, columns.length ? [input.row, label.row] : null, head.row, model.row, experts.length ? expert.row : null, most.row, go));
  }

  function summary() {
    const sizes = seen.splits.filter((split) => split.role).map((split) => `${split.name} ${split.rows === null ? "of unknown size" : count(split.rows)}`);
    const classes = seen.classes.length ? ` ${count(seen.classes.length)} classes: ${seen.classes.slice(0, NAMED).join(", ")}${seen.classes.length > NAMED ? "…" : ""}.` : "";
    const size = seen.bytes ? ` ${bytes(seen.bytes)} are to be downloaded.` : "";
    return `${seen.title}: ${sizes.join(", ") || "no splits"}.${classes} ${seen.made}${size} ${seen.prompts.words}`;
  }

  // Only a checkpoint that holds such a head is proposed: what is chosen comes first, then what is listed.
  function offerModels(head, { row, input }) {
    const found = seen.heads[head];
    row.querySelector("datalist")?.remove();
    const list = h("datalist", { id: freshId("heads") }, found.map((value) => h("option", { value })));
    row.append(list);
    input.setAttribute("list", list.id);
    input.value = found[0] ?? "";
    input.placeholder = HOLDS[head];
  }

  function asked() {
    const { base, experts } = models();
    const most = [base, ...experts, ...known()].filter((ref) => ref && !ref.startsWith("zoo:"));
    return [...new Set(most)].slice(0, MOST_ASKED);
  }

  async function make({ input, label, head, model, expert, most }) {
    const found = await ask(() => server.task_look({ source: seen.source, part: seen.part, model: model.input.value }));
    if (!found) return;
    const spec = {
      source: seen.source, head: head.input.value, model: found.model, kind: seen.proposed.kind ?? "pictures", at_most: most.input.valueAsNumber, seed: 0,
      ...(seen.parts.length > 1 ? { config: seen.part } : {}), ...(input.input.value ? { input: input.input.value } : {}), ...(label.input.value ? { label: label.input.value } : {}),
      ...(seen.proposed.second ? { second: seen.proposed.second } : {}),
    };
    prepare([spec], expert.input.value ? { [plain(expert.input.value)]: 0 } : {});
  }

  return { element, offer };
}

function field(title, attributes) {
  const id = freshId("field");
  const input = h("input", { id, ...attributes });
  return { input, row: h("div", { class: "task-field" }, h("label", { for: id }, title), input) };
}

function choice(title, values, chosen, onInput = () => {}, titles = {}) {
  const id = freshId("choice");
  const input = h("select", { id, onchange: () => onInput(input.value) }, values.map((value) => h("option", { value, selected: value === chosen }, titles[value] ?? (value || "—"))));
  return { input, row: h("div", { class: "task-field" }, h("label", { for: id }, title), input) };
}
