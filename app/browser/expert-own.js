// What one expert has for itself, below its row: its weight from leaf to leaf, and numbers of the method or the mask that are
// its own instead of everybody's.

import { createKnob } from "./controls.js";
import { fill, h } from "./dom.js";
import { createVary } from "./vary.js";

// `change(path, value, group)` writes below the expert's entry; undefined removes. `scoped(value)` is what else a number needs.
export function createExpertOwn({ title, weight, leaves, change, onEnd }) {
  const vary = createVary({ title: `weight of ${title}`, range: weight.slider, bounds: [weight.minimum, weight.maximum], step: 0.01, leaves,
    onInput: (value, group) => change(["weight"], value, group), onEnd });
  const about = h("h3", {}, "weight");
  const own = h("div", { class: "own-numbers" });
  const element = h("div", { class: "expert-own", role: "group", "aria-label": `${title} alone` }, about, vary.element, own);
  let key = null;
  let rows = new Map();

  function build(infos) {
    rows = new Map(infos.map((info) => {
      const knob = createKnob({ ...info, title: `${info.title}` }, { leaves: info.per_leaf ? leaves : null, onInput: (value, group) => change(["params", info.name], value, group), onEnd });
      const back = h("button", { type: "button", class: "quiet back", title: "as for all experts", "aria-label": `${info.title} of ${title} as for all experts`, onclick: () => change(["params", info.name], undefined, null) }, "as all");
      return [info.name, { knob, back }];
    }));
    fill(own, infos.length === 0 ? [] : [h("h3", {}, "of its own"), [...rows.values()].map(({ knob, back }) => [h("div", { class: "own-row" }, knob.row, back), knob.panel])]);
  }

  // `infos`: the parameters that an expert may have for itself; `common`: what all have.
  function set(entry, infos, common, weighted) {
    [about, vary.element].forEach((part) => { part.hidden = !weighted; });
    vary.set(entry.weight);
    const now = JSON.stringify(infos.map((info) => info.name));
    if (now !== key) {
      key = now;
      build(infos);
    }
    for (const info of infos) {
      const { knob, back } = rows.get(info.name);
      const mine = entry.params?.[info.name];
      knob.set(mine ?? common[info.name] ?? info.default);
      knob.row.classList.toggle("inherited", mine === undefined);
      back.hidden = mine === undefined;
    }
  }

  return { element, set, open: vary.open, empty: (infos, weighted) => infos.length === 0 && !weighted };
}
