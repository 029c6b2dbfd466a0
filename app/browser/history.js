// The last merges as small bars: click one to return to it, pin one to compare with, name it, save it, remove it.

import { fill, freshId, h } from "./dom.js";
import { clock, count, difference, percent, plusMinus } from "./format.js";
import { attempt } from "./server.js";

export function createHistoryPanel({ server, notice, open, pinChanged, save }) {
  const strip = h("div", { class: "strip", role: "list" });
  const words = h("p", { class: "comparison", role: "status" });
  const menu = createMenu({ rename, save: (row) => save(row.state, row.name), remove });
  const element = h("section", { class: "panel history", "aria-label": "History" },
    h("header", {}, h("h2", {}, "History"), h("span", { class: "stage" }, "validation, all examples"), words), strip, menu.element);
  let told = [];
  let rows = [];
  let current = null;
  let wish = null;
  let pinning = Promise.resolve();

  const pinned = () => rows.find((row) => row.pinned)?.hash ?? null;

  function draw() {
    const at = strip.contains(document.activeElement) ? [document.activeElement.dataset.hash, document.activeElement.className] : null;
    fill(strip, rows.length === 0 ? h("p", { class: "hint", role: "listitem" }, "Settled merges appear here.") : rows.map(entry));
    if (at) [...strip.querySelectorAll("button")].find((one) => one.dataset.hash === at[0] && one.className === at[1])?.focus();
  }

  function entry(row) {
    const title = row.name || row.label;
    return h("div", { class: `merge-entry${row.hash === current ? " current" : ""}${row.pinned ? " pinned" : ""}`, role: "listitem" },
      h("button", { type: "button", class: "open", "data-hash": row.hash, title: `${title}\n${row.name ? `${row.label}\n` : ""}${clock(row.when)}`, onclick: () => open(row) },
        h("span", { class: "bars", "aria-hidden": "true" }, row.tasks.map((task) => h("i", { style: { height: `${Math.round(100 * task.accuracy)}%` } }))),
        h("span", { class: "value" }, `${percent(row.average, row.interval)} ${plusMinus(row.interval)}`),
        h("span", { class: "label" }, title.replaceAll("λ ", "λ\u00a0"))),
      h("button", { type: "button", class: "more", "data-hash": row.hash, "aria-label": `name, save or remove ${title}`, "aria-haspopup": "dialog", title: "name, save, remove", onclick: (event) => menu.show(row, event.currentTarget) }, "⋯"),
      h("button", { type: "button", class: "pin", "data-hash": row.hash, "aria-pressed": String(row.pinned), "aria-label": row.pinned ? "unpin this merge" : "pin this merge to compare with it", title: "pin to compare; a pinned merge is kept in the library", onclick: () => togglePin(row) }, row.pinned ? "◆" : "◇"));
  }

  // A pinned merge is first kept in the library, which takes a while: until then answers that do not know of the pin yet do not
  // take it away, and of several that wait the newest is asked for.
  function togglePin(row) {
    const mine = { hash: row.pinned ? null : row.hash };
    wish = mine;
    repin();
    pinning = pinning.then(() => wish === mine && pin(mine));
  }

  async function pin(mine) {
    const done = await change(() => server.pin_merge(mine.hash ? { hash: mine.hash } : {}));
    if (wish !== mine) return;
    wish = null;
    if (!done) repin();
  }

  function repin() {
    hear(told);
    pinChanged();
  }

  function hear(next) {
    told = next;
    rows = wish ? told.map((one) => ({ ...one, pinned: one.hash === wish.hash })) : told;
    draw();
    update();
  }

  function rename(row, name) {
    return change(() => server.name_merge({ hash: row.hash, name }));
  }

  async function remove(row) {
    const unpinned = row.pinned;
    if (!await change(() => server.remove_merge({ hash: row.hash }))) return;
    if (unpinned) pinChanged();
    notice.offer(`Removed “${row.name || row.label}” from the history.`, "Bring it back", () => change(() => server.restore_merge({})));
  }

  async function change(ask) {
    const answer = await attempt(notice, ask);
    if (!answer) return false;
    hear(answer.history);
    return true;
  }

  async function update() {
    const [a, b] = [pinned(), current].map((hash) => rows.find((row) => row.hash === hash));
    if (!a || !b || a === b || a.state.family !== b.state.family) {
      say("");
      return;
    }
    const answer = await attempt(notice, () => server.compare({ a: a.hash, b: b.hash }));
    if (!answer || a.hash !== pinned() || b.hash !== current) return;
    const { average } = answer.differences;
    say(`Against ${a.name ? `“${a.name}”` : "the pinned merge"}: ${difference(average.difference)} points (95 % interval ${difference(average.interval[0])} to ${difference(average.interval[1])}, paired, n ${count(average.n)}). ${answer.recipe.join("; ")}.`, answer.words);
  }

  function say(text, more = "") {
    words.textContent = text;
    words.title = `${text} ${more}`.trim();
  }

  function show(next, hash) {
    current = hash ?? current;
    hear(next ?? told);
  }

  draw();
  return { element, show, pinned };
}

function createMenu({ rename, save, remove }) {
  const id = freshId("merge");
  const name = h("input", { type: "text", id: `${id}-name`, maxlength: 120, autocomplete: "off" });
  let row = null;
  const act = (what) => () => {
    element.hidePopover();
    what(row);
  };
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); act(() => rename(row, name.value))(); } },
    h("label", { for: `${id}-name` }, "Name"), name, h("button", { type: "submit", class: "quiet" }, "Rename"));
  const element = h("div", { id, class: "explainer merge-menu", popover: "auto", role: "dialog", "aria-label": "this merge" }, form,
    h("div", { class: "acts" },
      h("button", { type: "button", class: "quiet", onclick: act((one) => save(one)) }, "Save to library"),
      h("button", { type: "button", class: "quiet", onclick: act((one) => remove(one)) }, "Remove")));

  function show(next, button) {
    row = next;
    name.value = row.name;
    name.placeholder = row.label;
    element.showPopover();
    const box = button.getBoundingClientRect();
    element.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - element.offsetWidth - 8))}px`;
    element.style.top = `${Math.max(8, Math.min(box.bottom + 4, window.innerHeight - element.offsetHeight - 8))}px`;
    name.focus();
  }

  return { element, show };
}
