// Ghosts: beside each bar, what the tangent at the base foretells of the sliders' merge without running it. The server finds the
// tangents bit by bit while they are wanted, the preview first; what it knows stands in the answers of the live loop.

import { h } from "./dom.js";
import { createKept } from "./kept.js";
import { createNewest } from "./newest.js";

const HELP = "Thin bars: the accuracy that one derivative at the base foretells, f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀), without running the merge. Press to show or hide them.";

export function createGhosts({ server, onMore }) {
  const kept = createKept("localStorage", "basin-ghosts");
  const note = h("small", { "aria-live": "polite" });
  const element = h("button", { type: "button", class: "ghosts", title: HELP, onclick: toggle }, h("i", { class: "mark ghost", "aria-hidden": "true" }), "tangent prediction", note);
  const newest = createNewest((message) => server.ghosts(message), heard);
  let on = kept.get() === "on";
  let state = null;
  let known = 0;
  show("");

  function show(text) {
    element.setAttribute("aria-pressed", String(on));
    note.textContent = on && text ? ` ${text}` : "";
  }

  function toggle() {
    on = !on;
    kept.set(on ? "on" : null);
    known = 0;
    show("");
    onMore();
  }

  // The state has settled: more is looked for, unless all is known.
  function settled(next) {
    if (next.family !== state?.family) known = 0;
    state = next;
    if (on) newest({ state });
  }

  async function heard(answer, last) {
    if (!on || !answer.ok) return show(answer.ok ? "" : "not for these models");
    show(answer.why ? "not for this method" : answer.complete ? "" : "being found");
    element.title = answer.why ? `${HELP} ${answer.why}` : HELP;
    element.dataset.known = answer.known.join(" ");
    const more = answer.known.length > known;
    known = answer.known.length;
    if (more && !answer.why) onMore();
    if (last && !answer.complete) newest({ state });
  }

  return { element, settled, wanted: () => on };
}
