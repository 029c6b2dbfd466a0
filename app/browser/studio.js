// The studio: everything on one screen, alive from the first moment. Called once by the page with the server's functions.

import { arrive, createAccount } from "./account.js";
import { createAccuracyPanel } from "./accuracy.js";
import { h } from "./dom.js";
import { createEdits } from "./edits.js";
import { createGhosts } from "./ghosts.js";
import { createHistoryPanel } from "./history.js";
import { createLayersPanel } from "./layers.js";
import { loadParts } from "./load.js";
import { createLoop } from "./loop.js";
import { createMenu, createRoom } from "./narrow.js";
import { createNotice } from "./notice.js";
import { createPathPanel } from "./path.js";
import { createRail } from "./rail.js";
import { reliable } from "./server.js";
import { createRooms } from "./rooms.js";
import { createShare } from "./share.js";
import { createStore } from "./store.js";
import { createTabs } from "./tabs.js";
import { createTestScore } from "./test-score.js";
import { createTheme } from "./theme.js";

export async function mount(root, functions, names, base) {
  if (arrive()) return;
  const server = reliable(functions, names);
  const query = new URL(window.location.href).searchParams;
  const link = query.get("s") ?? query.get("recipe");
  const [hello, palette] = await Promise.all([server.hello({ link, ...(query.get("g") ? { geometry: query.get("g") } : {}) }), loadParts(base)]);
  root.replaceChildren();
  root.classList.add("basin");
  const theme = createTheme(palette, root);
  let rooms = null;
  const notice = createNotice((problems) => rooms?.wayOut(problems));
  if (!hello.ok) {
    root.append(notice.element);
    return notice.problems(hello);
  }
  const { description } = hello;
  const store = createStore(hello.state);
  const working = { live: false, edits: false };
  let waited = 0;

  const ghosts = createGhosts({ server, onMore: () => (root.dataset.asked = loop.again()) });
  const panels = {
    accuracy: createAccuracyPanel(theme, (task) => rooms.task(task), ghosts),
    path: createPathPanel(description, theme, store),
    layers: createLayersPanel(theme, store),
  };
  const history = createHistoryPanel({ server, notice, open: (row) => store.commit(row.state), pinChanged: () => (root.dataset.asked = loop.again()), save: (state, name) => rooms.save(state, name) });
  const loop = createLoop((message) => server.live({ ...message, pinned: history.pinned(), ghosts: ghosts.wanted() }), { onAnswer, onBusy, onLost, onSlow });
  const share = createShare(server, store, notice);
  const test = createTestScore((message) => server.score_on_test(message), { theme, store, notice, taken: hello.test_scores });
  const { edit, formerly } = createEdits((message) => server.edit(message), store, notice, { onRefused: () => rail.set(store.get()), onWorking: onEdits });
  const rail = createRail(description, store, { server, theme, edit, formerly, scoreOnTest: test.run });
  rooms = createRooms({ server, store, notice, theme, description, geometry: hello.geometry, open, show: (name) => tabs.show(name), wayOut: (problems) => rooms.wayOut(problems) });
  rail.extend(rooms.rail);
  const account = createAccount(server, hello.hub, notice);
  const busy = h("span", { class: "busy", "aria-hidden": "true" });
  const columns = h("div", { class: "columns" }, rail.element, h("div", { class: "main" }, panels.accuracy.element, test.element,
    panels.path.element, panels.layers.element, history.element, rooms.panels));
  const tabs = createTabs(columns, rooms.tabs, wake);
  createRoom(columns, rooms.panels);
  const bar = header();
  root.append(bar.element, notice.element, columns, ...rooms.tabs.map((tab) => tab.element), share.panel);

  // A stored link shows its result and computes nothing until the studio comes to the front.
  let asleep = rooms.first !== null;

  function wake() {
    if (!asleep) return;
    asleep = false;
    root.dataset.asked = loop.push(store.get());
  }

  // A state from elsewhere: a gallery, a library, a tour.
  function open(state) {
    store.open(state);
    tabs.show("studio");
  }

  // What one part was refused is not wiped away by another part's good answer.
  const refused = new Set();

  async function onAnswer(kind, answer, newest) {
    if (!answer.ok) {
      if (newest) notice.problems(answer);
      if (newest) refused.add(kind);
      return;
    }
    if (newest) refused.delete(kind);
    if (newest && refused.size === 0) notice.settle();
    const { figures, numbers } = answer;
    if (kind === "preview" || kind === "settle") await panels.accuracy.show(figures.accuracy, numbers, answer.hash);
    if (kind === "path") await panels.path.show(figures.path, numbers, answer.hash);
    if (kind === "layers") await panels.layers.show(figures, numbers, answer.hash);
    if (kind === "settle") {
      if (numbers) history.show(answer.history, answer.hash);
      if (answer.notices) notice.show(answer.notices);
      if (answer.query && newest) remember(answer.query);
      if (numbers && newest) ghosts.settled(store.get());
    }
    if (!performance.getEntriesByName("basin-first-numbers").length) performance.mark("basin-first-numbers");
    rooms.answer(kind, answer, newest);
    root.dataset[kind] = answer.seq;
  }

  function onBusy(live) {
    working.live = live;
    showBusy();
  }

  // A merge that keeps the page waiting says how long it takes; it may have come by the time that is known.
  async function onSlow(slow) {
    waited += 1;
    const turn = waited;
    rail.takes(null);
    if (!slow) return;
    const answer = await server.merge_time({ state: store.get() }).catch(() => null);
    if (answer?.ok && turn === waited) rail.takes(answer.seconds);
  }

  function onEdits(any) {
    working.edits = any;
    showBusy();
  }

  function showBusy() {
    const any = working.live || working.edits;
    busy.classList.toggle("on", any);
    root.dataset.busy = String(any);
  }

  function onLost(error, times) {
    notice.show([`The server does not answer (${error.message}). What you see is its last answer; trying again${times > 1 ? `, attempt ${times}` : ""}.`]);
  }

  // The address follows the state once it rests, so that a reload or a bookmark keeps it; a study that is in front stays in it.
  function remember(query) {
    const url = new URL(window.location.href);
    const study = url.hash === "#geometry" ? url.searchParams.get("g") : null;
    url.search = study ? `${query}&g=${study}` : query;
    window.history.replaceState(null, "", url);
  }

  function header() {
    const act = (name, title, help, what) => h("button", { type: "button", class: "quiet", "data-act": name, title: help, onclick: () => { tabs.show("studio"); what(); } }, title);
    const undo = act("undo", "Undo", "Ctrl+Z", store.undo);
    const redo = act("redo", "Redo", "Ctrl+Shift+Z", store.redo);
    const reset = act("reset", "Reset", null, () => edit({ kind: "reset" }));
    const menu = createMenu(h("div", { class: "rest" }, redo, reset, rooms.buttons, share.button, account.element), { studio: columns, show: (name) => tabs.show(name) });
    const element = h("header", { class: "top" },
      h("h1", {}, h("span", { class: "logo", "aria-hidden": "true" }), "Basin"), tabs.element, busy,
      h("span", { class: "spacer" }), h("span", { class: "device", title: `Basin ${description.version}` }, description.device),
      h("div", { class: "actions" }, undo, menu.button, menu.element));
    return { element, set: () => { undo.disabled = !store.canUndo(); redo.disabled = !store.canRedo(); } };
  }

  store.subscribe((state) => {
    rail.set(state);
    panels.path.set(state);
    bar.set();
    test.stale();
    rooms.state(state);
    notice.clear();
    refused.clear();
    asleep = false;
    root.dataset.asked = loop.push(state);
  });

  rail.set(store.get());
  panels.path.set(store.get());
  rooms.state(store.get());
  bar.set();
  tabs.start(rooms.first);
  history.show(hello.history ?? [], null);
  if (hello.notice) notice.show([hello.notice], "warning", true);
  if (!asleep) root.dataset.asked = loop.push(store.get());
  root.dataset.ready = "true";
}
