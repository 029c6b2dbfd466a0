// The models of the Hub: found by words, task and library, by the base that they were fine-tuned from, or by an id or address.
// What is picked is looked at first: its headers say what it is, and nothing is downloaded. All texts are strangers'.

import { fill, freshId, h } from "./dom.js";
import { bytes, count, short } from "./format.js";
import { createSentences } from "./sentences.js";
import { adapterWords } from "./uploads.js";

const REST = 350;
const SORTS = { downloads: "by downloads", likes: "by likes", trending_score: "trending", last_modified: "by update", created_at: "newest" };
const TASKS = ["image-classification", "zero-shot-image-classification", "image-feature-extraction", "text-classification", "token-classification",
  "fill-mask", "feature-extraction", "sentence-similarity", "text-generation", "translation", "automatic-speech-recognition"];
const LIBRARIES = ["transformers", "peft", "safetensors", "timm", "open_clip", "sentence-transformers", "diffusers"];
const ADDRESS = /^(https?:\/\/|hub:)\S+$/i;
const ID = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/;

// `onPick(checkpoint, role)`; `takenAs(id)` says whether a model is chosen: "base", "expert" or null.
export function createHubSearch(server, { onPick, takenAs }) {
  const field = h("input", { type: "search", id: freshId("hub"), maxlength: "300", autocomplete: "off", spellcheck: "false", placeholder: "words, owner/name, or an address", oninput: typed });
  const task = choice("task", [["", "any task"], ...TASKS.map((name) => [name, name.replaceAll("-", " ")])]);
  const library = choice("library", [["", "any library"], ...LIBRARIES.map((name) => [name, name])]);
  const sort = choice("sort", Object.entries(SORTS));
  const tuned = h("p", { class: "hub-tuned", hidden: true });
  const said = h("div", { class: "hub-said", role: "status" });
  const list = h("tbody", {});
  const more = h("button", { type: "button", class: "quiet hub-more", hidden: true, onclick: () => ask(page + 1) }, "more");
  const results = h("div", { class: "hub-results", tabindex: "0", role: "group", "aria-label": "models of the Hub" },
    h("table", {}, h("caption", { class: "sr-only" }, "Models of the Hub"), h("thead", {}, h("tr", {},
      [["model"], ["downloads", "in the last 30 days"], ["likes"], ["param.", "parameters"], ["size"]].map(([text, title]) => h("th", { scope: "col", title }, text)),
      h("th", { scope: "col" }, h("span", { class: "sr-only" }, "use it")))), list), more);
  const whose = h("span", { class: "hint" });
  const heading = h("h3", { id: freshId("hub"), tabindex: "-1" }, "From the Hugging Face Hub");
  const element = h("section", { class: "hub", "aria-labelledby": heading.id, hidden: true }, h("div", { class: "hub-head" }, heading, whose),
    h("form", { role: "search", onsubmit: submitted }, h("label", { class: "sr-only", for: field.id }, "Search the Hub, or paste an id or address"), field,
      h("div", { class: "hub-choices" }, task, library, sort)), tuned, said, results);
  const sentences = createSentences(said);
  const looking = new Set();
  const tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let base = null;
  let page = 0;
  let unread = 0;
  let turn = 0;
  let waiting = null;
  let asked = false;
  let rows = [];
  let settled = "";

  function choice(says, options) {
    return h("select", { "aria-label": says, onchange: () => now() }, options.map(([value, title]) => h("option", { value }, title)));
  }

  function show(hub) {
    element.hidden = !hub?.offered;
    if (element.hidden) return;
    sentences.set(hub);
    whose.textContent = [hostOf(hub.endpoint), hub.account ? `as ${hub.account}` : ""].filter(Boolean).join(", ");
    marks();
    if (!asked) now();
  }

  function typed(event) {
    turn += 1;
    clearTimeout(waiting);
    const pasted = event.inputType?.startsWith("insertFromPaste");
    waiting = setTimeout(() => (ADDRESS.test(text()) || (pasted && ID.test(text())) ? look() : ask(0)), REST);
  }

  function submitted(event) {
    event.preventDefault();
    clearTimeout(waiting);
    if (ADDRESS.test(text()) || ID.test(text())) look();
    else ask(0);
  }

  function now() {
    clearTimeout(waiting);
    ask(0);
  }

  const text = () => field.value.trim();

  // The newest question counts; what an older one brings is not shown.
  async function ask(wanted) {
    const mine = ++turn;
    sentences.say("Asking the Hub …");
    const answer = await sentences.attempt(() => server.hub_search({ text: base ? "" : text(), task: task.value || null, library: library.value || null, base, sort: sort.value, page: wanted, tab }), () => mine === turn);
    if (mine !== turn) return;
    asked = Boolean(answer);
    if (!answer) return;
    page = answer.page;
    unread = answer.unread + (wanted === 0 ? 0 : unread);
    const reached = document.activeElement === more ? rows.length : null;
    rows = [...(wanted === 0 ? [] : rows), ...answer.entries.map((entry) => row(entry))];
    draw(answer.more);
    if (more.hidden && reached !== null) (rows[reached] ?? rows.at(-1))?.uses[0].focus();
    settle(found(answer.more));
    if (wanted === 0) results.scrollTop = 0;
  }

  function settle(sentence) {
    settled = sentence;
    sentences.say(sentence);
  }

  function found(further) {
    if (rows.length === 0) return base ? "No card on the Hub says that it was fine-tuned from it." : "Nothing found. Fewer words, another task or library may find more.";
    const lost = unread ? `; what the Hub says of ${unread === 1 ? "another" : `${unread} others`} could not be read` : "";
    return `${rows.length} ${rows.length === 1 ? "model" : "models"}${further ? ", and more" : ""}${lost}`;
  }

  async function look() {
    const mine = ++turn;
    const checkpoint = await headers(text(), () => mine === turn);
    if (!checkpoint) return;
    rows = [row(entryOf(checkpoint), checkpoint)];
    draw(false);
    settle(about(checkpoint));
  }

  async function headers(address, wanted = () => true) {
    const name = address.replace(/^hub:/, "");
    looking.add(name);
    sentences.say(`Reading what ${[...looking].join(", ")} is …`);
    const answer = await sentences.attempt(() => server.hub_look({ address }), wanted);
    looking.delete(name);
    if (answer && wanted()) sentences.say(looking.size ? `Reading what ${[...looking].join(", ")} is …` : settled);
    return answer && wanted() ? answer.checkpoint : null;
  }

  function draw(further) {
    more.hidden = !further;
    fill(list, rows.map((one) => one.element));
    marks();
  }

  function row(entry, checkpoint = null) {
    const uses = ["base", "expert"].map((role) => h("button", { type: "button", class: "quiet", "data-role": role, "aria-label": `${entry.id} as ${role}`, onclick: async () => {
      const found = checkpoint ?? await headers(entry.ref);
      if (found) onPick(found, role);
    } }, `as ${role}`));
    const facts = [entry.task.replaceAll("-", " "), entry.library, entry.licence].filter(Boolean).join(" · ");
    const small = h("small", {}, entry.gated ? h("em", {}, "gated") : null, entry.private ? h("em", {}, "private") : null, facts,
      h("span", { class: "hub-narrow" }, [entry.downloads ? `${short(entry.downloads)} downloads` : "", entry.parameters ? `${short(entry.parameters)} parameters` : ""].filter(Boolean).map((fact) => ` · ${fact}`)),
      entry.base_models.length ? h("span", {}, facts ? " · from " : "from ", entry.base_models.map((id, place) => [place ? ", " : "",
        h("button", { type: "button", class: "link", title: "look at it", onclick: () => enter(id) }, id)])) : null);
    const number = (value, title) => h("td", { class: "number", title }, value);
    return { id: entry.id, uses, element: h("tr", { title: entry.updated ? `updated ${entry.updated.slice(0, 10)}` : null },
      h("th", { scope: "row" }, h("span", { class: "hub-name" }, entry.id), small),
      number(short(entry.downloads), count(entry.downloads)), number(short(entry.likes), count(entry.likes)), number(short(entry.parameters), count(entry.parameters)),
      number(entry.bytes === null ? "–" : bytes(entry.bytes)), h("td", { class: "hub-uses" }, uses)) };
  }

  // Which of the models shown are chosen.
  function marks() {
    for (const { id, uses } of rows) for (const use of uses) use.setAttribute("aria-pressed", String(takenAs(id) === use.dataset.role));
  }

  function enter(id) {
    field.value = id;
    only(null);
    look();
    field.focus();
  }

  function tunedFrom(id) {
    fill(tuned, "fine-tuned from ", h("strong", {}, id), h("button", { type: "button", class: "quiet", onclick: () => { only(null); now(); field.focus(); } }, "show all models"));
    only(id);
    now();
  }

  // The experts of a base are asked for without words and choices.
  function only(id) {
    base = id;
    tuned.hidden = id === null;
    for (const control of [field, task, library, sort]) control.disabled = id !== null;
  }

  function reach() {
    element.scrollIntoView({ block: "start" });
    heading.focus({ preventScroll: true });
  }

  return { element, show, marks, tunedFrom, reach };
}

function hostOf(endpoint) {
  const host = URL.canParse(endpoint) ? new URL(endpoint).host : "";
  return host === "huggingface.co" ? "" : host;
}

function entryOf({ ref, parameters, bytes: size, base_models, licence, task }) {
  return { ref, id: ref.replace(/^hub:/, "").split("@")[0], downloads: null, likes: null, parameters, bytes: size, base_models: base_models ?? [], licence, task: task ?? "", library: "", gated: false, private: false, updated: "" };
}

function about({ architecture, parameters, leaves, ref, adapter }) {
  if (adapter) return `${adapterWords(adapter)}${adapter.base ? `; it says that it was trained on ${adapter.base}` : ""}, commit ${commitOf(ref)}.`;
  return `${architecture || "A checkpoint"}, ${count(parameters)} parameters in ${count(leaves)} leaves, commit ${commitOf(ref)}.`;
}

export function commitOf(ref) {
  return ref.split("@")[1]?.slice(0, 8) ?? "";
}
