// Geometry: questions asked of models, answered at once and finer while one looks. The address follows what is looked at.

import { h } from "./dom.js";
import { familyNamed } from "./families.js";
import { createGeometryChoice } from "./geometry-choice.js";
import { createGeometryFigures } from "./geometry-figures.js";
import { createGeometryForm } from "./geometry-form.js";
import { createGeometryJob } from "./geometry-job.js";
import { createGeometryLink } from "./geometry-link.js";
import { PARTS } from "./geometry-parts.js";
import { createGeometryPrint } from "./geometry-print.js";
import { createNewest } from "./newest.js";

const LOST_EVERY = 2000;

export function createGeometry({ server, store, notice, theme, description, geometry, open }) {
  if (!server.geometry_look) return {};
  const choice = createGeometryChoice();
  const form = createGeometryForm(choice, { changed });
  const link = createGeometryLink(server, () => ({ state: store.get(), spec: spec() }));
  const figures = createGeometryFigures(theme, link.element);
  const job = createGeometryJob({ server, wanted: () => ({ state: store.get(), spec: spec() }), answered: (answer) => draw(answer), begun: () => { turn += 1; } });
  const extra = h("div", { class: "geometry-parts" });
  const main = h("div", { class: "geometry-main" }, figures.element, job.element, extra);
  const element = h("div", { class: "geometry", hidden: true }, form.element, main);
  createGeometryPrint(element, theme);
  const newest = createNewest(ask, hear);
  let offer = null;
  let asked = "";
  let part = null;
  let turn = 0;
  let linked = geometry ?? null;

  const shown = () => !element.hidden;
  const spec = () => choice.spec(offer, store.get());

  // To the front: what the studio has may be other models by now.
  async function look() {
    const state = store.get();
    const key = JSON.stringify([state.family, state.recipe.models.map((entry) => entry.ref)]);
    if (key !== asked) {
      let answer;
      try {
        answer = await server.geometry_offer({ state });
      } catch (error) {
        notice.show([`The server does not answer (${error.message}). Nothing is lost; try again in a moment.`]);
        return;
      }
      if (!answer.ok) return notice.problems(answer, true);
      asked = key;
      offer = answer;
      choice.of(state.family);
      if (linked) choice.open(linked);
      linked = null;
      form.set(offer, state.recipe.models.map((entry) => entry.ref));
    }
    changed();
  }

  function changed() {
    turn += 1;
    const info = choice.study(offer);
    if (element.dataset.study !== info.name) takePart(info.name);
    figures.prepare(info);
    job.hide();
    element.dataset.state = "asked";
    push();
  }

  function push() {
    newest({ state: store.get(), spec: spec(), turn });
  }

  function takePart(name) {
    element.dataset.study = name;
    part = PARTS[name]?.({ server, theme, store, notice, spec, open, setParam }) ?? null;
    extra.replaceChildren(...(part ? [part.element] : []));
  }

  // A part asks with another value; the control of the parameter follows.
  function setParam(name, value) {
    choice.setParam(choice.study(offer), name, value);
    form.set(offer, store.get().recipe.models.map((entry) => entry.ref));
    changed();
  }

  async function ask({ turn: mine, ...message }) {
    const answer = await server.geometry_look(message);
    return answer.superseded ? { ok: true, again: true, turn: mine } : { ...answer, turn: mine };
  }

  // Asked again until nothing is left to find, as long as somebody looks.
  async function hear(answer, last, message) {
    if (message.turn !== turn) return;
    if (!answer.ok) {
      notice.problems(answer);
      element.dataset.state = "refused";
      if (!answer.seq && answer.turn === undefined) setTimeout(() => { if (message.turn === turn && shown()) push(); }, LOST_EVERY);
      return;
    }
    if (!answer.again) {
      notice.settle();
      if (element.dataset.state === "asked") link.follow(() => shown() && message.turn === turn);
      await draw(answer);
      if (message.turn !== turn) return;
      if (answer.complete) return job.hide();
      if (choice.study(offer).trains) job.offer(answer);
      if (answer.long) return;
    }
    if (last && shown()) push();
  }

  async function draw(answer) {
    await figures.show(answer);
    part?.show(answer);
    element.dataset.share = String(answer.share);
    element.dataset.state = answer.complete ? "complete" : answer.long ? "long" : "refining";
  }

  // The studio's merge may be among the models.
  function state() {
    if (shown()) look();
  }

  return { tab: { name: "geometry", title: "Geometry", element, shown: look }, state, first: geometry ? "geometry" : undefined };
}
