// Geometry: questions asked of models, answered at once and finer while one looks. The address follows what is looked at.

import { h } from "./dom.js";
import { createAsking } from "./geometry-asking.js";
import { createGeometryChoice } from "./geometry-choice.js";
import { createGeometryFigures } from "./geometry-figures.js";
import { createGeometryForm } from "./geometry-form.js";
import { createGeometryJob } from "./geometry-job.js";
import { createGeometryLink } from "./geometry-link.js";
import { PARTS } from "./geometry-parts.js";
import { createGeometryPrint } from "./geometry-print.js";

export function createGeometry({ server, store, notice, theme, geometry, open }) {
  if (!server.geometry_look) return {};
  const choice = createGeometryChoice();
  const form = createGeometryForm(choice, { changed });
  const link = createGeometryLink(server, () => ({ state: store.get(), spec: spec() }));
  const job = createGeometryJob({ server, wanted: () => ({ state: store.get(), spec: spec() }), answered: (answer) => draw(answer), begun: () => asking.stop() });
  const figures = createGeometryFigures(theme, link.element, job.element);
  const extra = h("div", { class: "geometry-parts" });
  const main = h("div", { class: "geometry-main" }, figures.element, extra);
  const element = h("div", { class: "geometry", hidden: true }, form.element, main);
  createGeometryPrint(element, theme);
  const asking = createAsking(server.geometry_look, { heard, refused, lost, wanted: () => shown() && document.visibilityState === "visible" });
  let offer = null;
  let asked = "";
  let part = null;
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
    const info = choice.study(offer);
    if (element.dataset.study !== info.name) takePart(info.name);
    figures.prepare(info);
    job.hide();
    element.dataset.state = "asked";
    asking.ask({ state: store.get(), spec: spec() });
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

  async function heard(answer) {
    notice.settle();
    if (element.dataset.state === "asked") link.follow(shown);
    await draw(answer);
    if (!answer.complete && answer.trains) job.offer(answer);
    if (answer.complete) job.hide();
    return !answer.complete && !answer.long;
  }

  function refused(answer) {
    notice.problems(answer);
    element.dataset.state = "refused";
  }

  function lost(error) {
    notice.show([`The server does not answer (${error.message}). What you see is its last answer; it is asked again.`]);
  }

  async function draw(answer) {
    await figures.show(answer);
    part?.show(answer);
    element.dataset.share = String(answer.share);
    element.dataset.state = answer.complete ? "complete" : answer.long ? "long" : "refining";
  }

  // Nobody is asked while the browser shows another tab.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && shown() && ["asked", "refining"].includes(element.dataset.state)) look();
  });

  // The studio's merge may be among the models.
  function state() {
    if (shown()) look();
  }

  return { tab: { name: "geometry", title: "Geometry", element, shown: look }, state, first: geometry ? "geometry" : undefined };
}
