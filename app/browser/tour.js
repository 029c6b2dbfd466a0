// The guided tour: a small card beside the panel that it speaks of, while the page moves its own sliders. What the visitor
// had is given back when the tour ends, is left, or is cut short by a reload; undo works as everywhere.

import { fill, freshId, h } from "./dom.js";
import { attempt } from "./server.js";
import { replaced } from "./store.js";
import { STEPS, sceneOf } from "./tour-steps.js";

const SECONDS = 1.8;
const PER_SECOND = 25;
const KEPT = "basin-before-the-tour";

export function createTour({ server, store, notice, description, show }) {
  const scene = sceneOf(description);
  if (!scene) return {};
  const ids = { title: freshId("tour"), words: freshId("tour") };
  const place = h("span", { class: "stage" });
  const title = h("h2", { id: ids.title });
  const words = h("p", { id: ids.words });
  const numbers = h("p", { class: "numbers" });
  const spoken = h("p", { class: "sr-only", role: "status" });
  const source = h("p", { class: "source" });
  const back = h("button", { type: "button", class: "quiet", onclick: () => go(step - 1) }, "Back");
  const next = h("button", { type: "button", class: "quiet next", "aria-describedby": ids.words, onclick: () => go(step + 1) }, "Next");
  const close = h("button", { type: "button", class: "quiet close", "aria-label": "leave the tour", title: "Escape", onclick: leave }, "✕");
  const card = h("section", { class: "explainer tour-card", popover: "manual", "aria-labelledby": ids.title, onkeydown: key },
    h("header", {}, title, place, close), words, numbers, spoken, source, h("div", { class: "turns" }, back, next));
  const button = h("button", { type: "button", class: "quiet", "data-act": "tour", title: "five short steps in which the page moves its own sliders", onclick: () => (step === null ? begin() : leave()) }, "Tour");

  let step = null;
  let begun = false;
  let own = null;
  let turn = 0;
  let seen = {};
  let kept = {};
  let waiting = [];

  function begin() {
    own = store.get();
    remember(own);
    show("studio");
    card.showPopover();
    button.setAttribute("aria-expanded", "true");
    go(0);
  }

  function leave() {
    if (step === null) return;
    stop();
    const back = own;
    store.endGesture();
    store.commit(back, { cause: "tour" });
    button.focus();
  }

  function stop() {
    turn += 1;
    step = null;
    waiting = [];
    forget();
    card.hidePopover();
    button.setAttribute("aria-expanded", "false");
    point(null);
  }

  function go(to) {
    if (to >= STEPS.length) return leave();
    step = Math.max(0, to);
    kept = {};
    begun = false;
    card.dataset.played = "false";
    const now = STEPS[step];
    title.textContent = now.title;
    place.textContent = `${step + 1} of ${STEPS.length}`;
    words.textContent = now.words;
    spoken.textContent = "";
    fill(source, cite(now.source));
    back.disabled = step === 0;
    next.textContent = step === STEPS.length - 1 ? "Done" : "Next";
    read();
    point(now.panel);
    next.focus({ preventScroll: true });
    play(now, (turn += 1));
  }

  async function play(now, mine) {
    for (const move of now.moves) {
      let state = store.get();
      for (const change of move.changes(scene)) {
        const from = state;
        const answer = await attempt(notice, () => server.edit({ state: from, change }));
        if (!answer || mine !== turn) return;
        state = answer.state;
      }
      for (const [path, value] of move.values ?? []) state = replaced(state, path, value);
      put(state);
      if (move.look) {
        await drawn(move.look.at);
        if (mine !== turn) return;
        kept[move.look.as] = seen[move.look.at].numbers;
        read();
      }
      if (move.glide && !(await glide(move.glide, mine))) return;
    }
    card.dataset.played = "true";
  }

  function put(state) {
    begun = true;
    store.commit(state, { group: `tour-${step}`, cause: "tour" });
    read();
  }

  // A slider moves as if it were dragged; whoever takes hold of it meanwhile has it.
  function glide({ path, to }, mine) {
    const from = path.reduce((value, name) => value[name], store.get());
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      put(replaced(store.get(), path, to));
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      let last = store.get();
      const begun = performance.now();
      const timer = setInterval(() => {
        if (mine !== turn || store.get() !== last) {
          clearInterval(timer);
          return resolve(false);
        }
        const share = Math.min(1, (performance.now() - begun) / (1000 * SECONDS));
        put(replaced(store.get(), path, Math.round(100 * (from + (to - from) * share)) / 100));
        last = store.get();
        if (share < 1) return undefined;
        clearInterval(timer);
        return resolve(true);
      }, 1000 / PER_SECOND);
    });
  }

  // Only what was drawn for the state on the screen is read out.
  function known(name) {
    return seen[name] && seen[name].state === store.get() ? seen[name].numbers : null;
  }

  function drawn(name) {
    return known(name) ? Promise.resolve() : new Promise((resolve) => waiting.push({ name, resolve }));
  }

  function read() {
    if (step === null) return;
    const now = STEPS[step];
    const found = begun ? now.read({ accuracy: known("accuracy"), path: known("path"), layers: known("layers"), ...kept }, scene) : null;
    if (found) numbers.textContent = found.filter(Boolean).join(" ");
    else if (!begun) numbers.textContent = "Measuring …";
    card.dataset.read = String(Boolean(found));
    settle();
  }

  function answer(kind, given, newest) {
    if (step === null || !newest) return;
    const name = { preview: "accuracy", settle: "accuracy", path: "path", layers: "layers" }[kind];
    seen = { ...seen, [name]: { state: store.get(), numbers: given.numbers } };
    const ready = waiting.filter((one) => known(one.name));
    waiting = waiting.filter((one) => !ready.includes(one));
    ready.forEach((one) => one.resolve());
    read();
    if (kind === "settle") spoken.textContent = numbers.textContent;
  }

  function key(event) {
    const turns = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turns || (step === 0 && turns < 0)) return;
    event.preventDefault();
    go(step + turns);
  }

  function point(panel) {
    document.querySelectorAll(".basin .toured").forEach((one) => one.classList.remove("toured"));
    if (panel === null) return;
    const target = document.querySelector(`#basin-view-studio .panel.${panel}`);
    target.classList.add("toured");
    target.scrollIntoView({ block: window.innerWidth <= 760 ? "center" : "nearest" });
    settle();
  }

  // Below the panel where there is room, else above it; on a phone at the foot of the screen.
  function settle() {
    if (step === null) return;
    const narrow = window.innerWidth <= 760;
    const box = document.querySelector(`#basin-view-studio .panel.${STEPS[step].panel}`).getBoundingClientRect();
    const below = box.bottom + card.offsetHeight + 12 <= window.innerHeight;
    const top = narrow ? window.innerHeight - card.offsetHeight - 8 : below ? box.bottom + 10 : Math.max(8, box.top - card.offsetHeight - 10);
    card.dataset.side = narrow ? "foot" : below ? "below" : "above";
    card.style.top = `${top}px`;
    card.style.left = narrow ? "8px" : `${Math.max(8, box.right - card.offsetWidth - 20)}px`;
  }

  function cite(given) {
    const named = given.method ? description.registry.methods.find((one) => one.name === given.method)
      : given.scaling ? description.registry.scalings.find((one) => one.name === given.scaling) : { source: given };
    const found = named?.source;
    return found ? [`${found.authors} (${found.year}), `, h("a", { href: found.url, target: "_blank", rel: "noopener noreferrer" }, found.title), "."] : [];
  }

  // A reload in the middle gives back what was there before, once the server has checked that it still means something.
  async function restore() {
    const text = recall();
    if (!text) return;
    forget();
    if (performance.getEntriesByType("navigation")[0]?.type !== "reload") return;
    const state = JSON.parse(text);
    const checked = await server.share({ state });
    if (checked.ok) store.commit(state, { cause: "tour" });
  }

  window.addEventListener("resize", settle);
  window.addEventListener("scroll", settle, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && step !== null && !document.querySelector(".basin [popover=auto]:popover-open")) leave();
  });
  restore().catch((error) => notice.show([`What was there before the tour could not be given back (${error.message}).`]));
  return { button: h("span", { class: "opener" }, button, card), state: read, answer };
}

// A frame may forbid storage: then a reload keeps the tour's merge, and nothing else is lost.
function remember(state) {
  try {
    window.sessionStorage.setItem(KEPT, JSON.stringify(state));
  } catch (error) {
    console.info("Basin: the tour cannot outlive a reload here.", error.name);
  }
}

function recall() {
  try {
    return window.sessionStorage.getItem(KEPT);
  } catch (error) {
    console.info("Basin: nothing was kept over a reload.", error.name);
    return null;
  }
}

function forget() {
  try {
    window.sessionStorage.removeItem(KEPT);
  } catch (error) {
    console.info("Basin: nothing was kept over a reload.", error.name);
  }
}
