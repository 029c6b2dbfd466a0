// The library: what was saved, found again, compared, sent out and taken in. A stored link opens here, with its result.

import { createCompare } from "./library-compare.js";
import { createLibraryMenu } from "./library-menu.js";
import { createLibraryTable } from "./library-table.js";
import { fill, h } from "./dom.js";
import { gzipped, hand } from "./files.js";
import { createResult } from "./result.js";
import { attempt } from "./server.js";

const PAUSE = 200;

export function createLibrary(page) {
  const { server, store, notice, open, show, description } = page;
  const address = new URL(window.location.href).searchParams.get("r");
  const search = { text: "", method: "", tag: "", sort: "when", descending: true, offset: 0 };
  let selected = new Map();
  let asked = 0;
  let limits = { compared: 6, page: 50 };
  const ask = (what) => attempt(notice, what);

  const text = h("input", { type: "search", "aria-label": "find by words", placeholder: "name, method, tag …", oninput: () => { clearTimeout(text.wait); text.wait = setTimeout(() => find({ text: text.value }), PAUSE); } });
  const method = h("select", { "aria-label": "filter by method", onchange: () => find({ method: method.value }) });
  const tag = h("select", { "aria-label": "filter by tag", onchange: () => find({ tag: tag.value }) });
  const file = h("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "a result’s file", onchange: takeIn });
  const says = h("p", { class: "stage", role: "status" });
  const acts = h("div", { class: "acts" });
  const pages = h("nav", { class: "pages", "aria-label": "pages" });
  const compare = createCompare();
  const menu = createLibraryMenu({ rename, tag: changeTags, openInStudio, link: copyLink, unshare, file: downloadOne, remove: (row) => remove([row]) });
  const table = createLibraryTable(search, { sort, select, openRow, menu: menu.show });
  const result = createResult(page, { back: showTable, link: copyLink, file: downloadOne });
  const list = h("section", { class: "panel library-list", "aria-label": "Saved results" },
    h("header", {}, h("h2", {}, "Library"), says, h("div", { class: "filters" }, text, method, tag)),
    acts, compare.element, table.element, pages, file);
  const element = h("div", { class: "library" }, list, result.element, menu.element);
  const button = h("button", { type: "button", class: "quiet", "data-act": "save", title: "put this merge into the library", onclick: () => save(store.get()) }, "Save merge");

  async function find(change = {}) {
    Object.assign(search, { offset: 0 }, change);
    asked += 1;
    const mine = asked;
    const answer = await ask(() => server.library({ ...search }));
    if (!answer || mine !== asked) return;
    limits = answer.limits;
    const last = limits.page * Math.max(0, Math.ceil(answer.matching / limits.page) - 1);
    if (search.offset > last) return find({ offset: last });
    const titles = Object.fromEntries(description.registry.methods.map((one) => [one.name, one.title]));
    choices(method, "all methods", answer.facets.method, (name) => titles[name] ?? name, search.method);
    choices(tag, "all tags", answer.facets.tag, (name) => name, search.tag);
    tag.hidden = answer.facets.tag.length === 0;
    table.show(answer.rows, selected, titles, emptyWords(answer));
    says.textContent = answer.matching === 0 ? "" : `${answer.matching} ${answer.matching === 1 ? "result" : "results"}, validation split`;
    if (answer.notice) says.textContent += `. ${answer.notice}`;
    drawPages(answer.matching);
    drawActs();
  }

  const filtered = () => search.text || search.method || search.tag;
  const emptyWords = (answer) => answer.rows.length > 0 ? "" : filtered() ? "Nothing matches." : "Nothing is saved yet. Press “Save merge”, or pin a merge in the history.";

  function drawPages(matching) {
    const { page: size } = limits;
    const to = Math.min(matching, search.offset + size);
    const step = (by, label, can) => h("button", { type: "button", class: "quiet", disabled: !can, onclick: () => find({ offset: search.offset + by * size }) }, label);
    fill(pages, matching > size ? [step(-1, "← earlier", search.offset > 0), h("span", {}, `${search.offset + 1} – ${to} of ${matching}`), step(1, "later →", to < matching)] : []);
  }

  function drawActs() {
    const ids = [...selected.keys()];
    const some = ids.length > 0;
    const act = (label, what, can = true, title = "") => h("button", { type: "button", class: "quiet", disabled: !can, title, onclick: what }, label);
    fill(acts,
      h("span", { class: "count" }, some ? `${ids.length} selected` : "Select results to compare them."),
      act("Compare", () => showCompare(ids), ids.length >= 2 && ids.length <= limits.compared, `2 to ${limits.compared} results, paired on the same examples`),
      act("Delete", () => remove([...selected.values()]), some),
      act("Select none", () => { selected = new Map(); find({ offset: search.offset }); compare.hide(); }, some),
      h("span", { class: "spacer" }),
      act("CSV", () => download("csv", some ? ids : null), true, some ? "the selected results as a table" : "all results as a table"),
      act("Parquet", () => download("parquet", some ? ids : null), true, some ? "the selected results as a table" : "all results as a table"),
      act("Import a file", () => file.click(), true, "a result that somebody exported: .basin.json"));
  }

  function select(row, on) {
    if (on) selected.set(row.id, row);
    else selected.delete(row.id);
    drawActs();
  }

  function sort(column) {
    find(search.sort === column ? { descending: !search.descending } : { sort: column, descending: column !== "name" && column !== "method" });
  }

  async function save(state, name = "") {
    const answer = await ask(() => server.save({ state, name }));
    if (!answer) return;
    notice.offer(answer.new ? "Saved in the library." : "This merge is in the library already.", "Open the library", () => { showTable(); show("library"); });
    if (!element.hidden) find({ offset: search.offset });
  }

  async function openRow(row) {
    const answer = await ask(() => server.library_result({ id: row.id }));
    if (!answer) return;
    notice.clear();
    list.hidden = true;
    await result.show(answer.page, { row: { ...row, name: answer.name }, name: answer.name, tags: answer.tags, source: { id: row.id } });
  }

  async function openInStudio(row) {
    const answer = await ask(() => server.library_result({ id: row.id }));
    if (!answer) return;
    if (answer.page.state) open(answer.page.state);
    else notice.show([answer.page.why], "warning", true);
  }

  async function showCompare(ids) {
    const answer = await ask(() => server.library_compare({ ids }));
    if (!answer) return;
    notice.clear();
    compare.show(answer);
  }

  async function rename(row, name) {
    if (await ask(() => server.library_rename({ id: row.id, name }))) find({ offset: search.offset });
  }

  async function changeTags(row, add, drop) {
    const ids = selected.has(row.id) ? [...selected.keys()] : [row.id];
    if (await ask(() => server.library_tag({ ids, add, drop }))) find({ offset: search.offset });
  }

  async function remove(rows) {
    const answer = await ask(() => server.library_delete({ ids: rows.map((row) => row.id) }));
    if (!answer) return;
    rows.forEach((row) => selected.delete(row.id));
    compare.hide();
    find({ offset: search.offset });
    notice.offer(`Deleted ${answer.deleted === 1 ? "one result" : `${answer.deleted} results`}.${rows.some((row) => row.shared) ? " Whoever opens a link to it is told so." : ""}`, "Undo", async () => {
      if (await ask(() => server.library_restore({}))) find({ offset: search.offset });
    });
  }

  async function copyLink(row) {
    const answer = await ask(() => server.share_result({ id: row.id }));
    if (!answer) return;
    const url = new URL(window.location.href);
    url.search = answer.query;
    url.hash = "";
    try {
      await navigator.clipboard.writeText(url.href);
      notice.show(["The link is copied. Whoever has it sees this result: numbers, recipe, versions; nothing else of yours."], "done", true);
    } catch {
      notice.show([`Copy this link: ${url.href}`], "done", true);
    }
    if (!list.hidden) find({ offset: search.offset });
  }

  async function unshare(row) {
    if (!await ask(() => server.unshare_result({ id: row.id }))) return;
    notice.show(["The link’s result is not shared any more; the link still opens its recipe."], "done", true);
    find({ offset: search.offset });
  }

  async function download(form, ids) {
    const answer = await ask(() => server.library_download(ids ? { form, ids } : { form }));
    if (answer) hand(answer);
  }

  function downloadOne(row) {
    return download("result", [row.id]);
  }

  async function takeIn() {
    const [chosen] = file.files;
    if (!chosen) return;
    const packed = await gzipped(chosen);
    file.value = "";
    if (packed === null) return notice.show(["The file is larger than a result’s file can be."], "error", true);
    const answer = await ask(() => server.library_import({ packed }));
    if (!answer) return;
    notice.show([answer.new ? `Imported “${answer.label}”.` : `“${answer.label}” is in the library already.`], "done", true);
    find();
  }

  function showTable() {
    result.hide();
    list.hidden = false;
    find({ offset: search.offset });
  }

  // A stored link: its result at once; where there is none, the recipe that the link carries.
  async function openStored() {
    list.hidden = true;
    const answer = await ask(() => server.stored({ r: address }));
    if (answer?.found) return result.show(answer.page, { shared: answer.shared, source: { r: address } });
    showTable();
    show("studio");
    if (answer) notice.show([answer.notice], "warning", true);
  }

  drawActs();
  let stored = Boolean(address);
  return {
    button, save, first: address ? "library" : undefined,
    tab: { name: "library", title: "Library", element, shown: () => {
      if (stored) openStored();
      else if (!list.hidden) find({ offset: search.offset });
      stored = false;
    } },
  };
}

function choices(select, all, values, title, chosen) {
  fill(select, h("option", { value: "" }, all), values.map(({ name, count }) => h("option", { value: name, selected: name === chosen }, `${title(name)} (${count})`)));
  select.value = chosen;
}
