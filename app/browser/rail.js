// The rail of controls: models, λ, method, mask, layers, seed. Every control edits the recipe by making the next one.

import { createChoice, createExplainer, createKnob, createSlider, stands } from "./controls.js";
import { fill, h } from "./dom.js";
import { createExpertOwn } from "./expert-own.js";
import { familyNamed, isOwn, shortName, shortNames } from "./families.js";
import { duration } from "./format.js";
import { createLeafNames } from "./leaf-names.js";
import { createMethodPicker } from "./method-picker.js";
import { replaced } from "./store.js";
import { casesOf, resampled, varies } from "./varying.js";

export function createRail(description, store, { server, theme, edit, formerly, scoreOnTest }) {
  const root = h("aside", { class: "rail", "aria-label": "Controls" });
  const more = h("span", { class: "more" });
  const takes = h("p", { class: "hint takes", role: "status" });
  const leaves = createLeafNames(server, store);
  const sections = [modelsSection(), methodSection(), maskSection(), layersSection(), footSection()];
  fill(root, sections.map((section) => section.element));

  function change(path, value, group = null) {
    store.commit(replaced(store.get(), path, value), { group });
  }

  // A number that varies needs ranks within each leaf; ranks within the model need one number.
  function scoped(state, place, name, value) {
    const at = place.reduce((inner, key) => inner?.[key], state) ?? {};
    if (varies(value) && at.scope === "model") return replaced(state, [...place, "scope"], "leaf");
    if (name !== "scope" || value !== "model") return state;
    const plain = (values) => Object.fromEntries(Object.entries(values).map(([key, one]) => [key, varies(one) ? mean(one) : one]));
    const models = state.recipe.models.map((model) => (model.params ? { ...model, params: plain(model.params) } : model));
    return replaced(replaced(state, place, plain(at)), ["recipe", "models"], models);
  }

  function set(state) {
    sections.forEach((section) => section.set(state));
  }

  function numeric(path) {
    return { onInput: (value, group) => change(path, value, group), onEnd: () => store.endGesture() };
  }

  function heading(text, ...more) {
    return h("h2", {}, text, ...more);
  }

  function modelsSection() {
    const family = createChoice({
      title: "base", help: "The common ancestor from which the experts were fine-tuned.",
      choices: description.families.map((one) => ({ value: one.name, title: one.base ?? one.title, group: one.source ?? "zoo" })),
      onInput: (name) => edit({ kind: "family", family: name }),
    });
    const list = h("div", { class: "experts" });
    const lambda = createSlider({
      title: "λ", help: "Scales the whole merged vector.", range: [0, 1.5], bounds: [-10, 10], step: 0.01, ticks: [1], leaves, ...numeric(["recipe", "lambda"]),
    });
    lambda.row.classList.add("lambda");
    const note = h("p", { class: "hint", role: "status" });
    const learned = h("p", { class: "hint learned", hidden: true });
    let shown = null;
    let rows = new Map();

    function build(current) {
      rows = new Map();
      const names = shortNames(current.experts.map((expert) => expert.ref));
      fill(list, current.experts.map((expert, place) => {
        const own = createExpertOwn({ title: expert.title, weight: description.registry.recipe.weight, leaves, change: (path, value, group) => changeOwn(expert.ref, path, value, group), onEnd: () => store.endGesture() });
        const slider = createSlider({
          more: { element: own.element, open: own.open, says: `${expert.title}: weight from leaf to leaf, numbers of its own` },
          title: names[place], help: `${expert.title}. ${expert.description}`, range: [-1, 2], bounds: [-10, 10], step: 0.01, ticks: [0, 1], colour: `var(--expert-${expert.colour % 8})`,
          onInput: (value, group) => {
            const index = store.get().recipe.models.findIndex((model) => model.ref === expert.ref);
            if (index >= 0) change(["recipe", "models", index, "weight"], value, group);
          },
          onEnd: () => store.endGesture(),
        });
        const toggle = h("button", { class: "dot", type: "button", role: "switch", "aria-label": `use ${expert.title}`, title: "use or leave out", onclick: () => toggleExpert(expert.ref) });
        slider.row.prepend(toggle);
        rows.set(expert.ref, { slider, toggle, own });
        return [slider.row, slider.panel];
      }));
    }

    function changeOwn(ref, [key, name], value, group) {
      const state = store.get();
      const index = state.recipe.models.findIndex((model) => model.ref === ref);
      if (index < 0) return;
      const path = ["recipe", "models", index, key, ...(name ? [name] : [])];
      const made = replaced(name ? scoped(state, placeOfMask(state), name, value) : state, path, value);
      const bare = name && Object.keys(made.recipe.models[index].params).length === 0;
      store.commit(bare ? replaced(made, ["recipe", "models", index, "params"], undefined) : made, { group });
    }

    function toggleExpert(ref) {
      edit((state) => {
        const used = state.recipe.models.map((model) => model.ref);
        return { kind: "experts", experts: used.includes(ref) ? used.filter((one) => one !== ref) : [...used, ref] };
      });
    }

    // A family of the visitor's own stands among the others as long as it is looked at.
    function ownOption(name) {
      family.select.querySelector("[data-own]")?.remove();
      if (isOwn(name)) family.select.append(h("option", { value: name, "data-own": true }, "your models"));
    }

    function setModels(state) {
      const current = familyNamed(description, state.family);
      ownOption(state.family);
      family.set(state.family);
      if (shown !== current) build((shown = current));
      const method = description.registry.methods.find((one) => one.name === state.recipe.method.name);
      const [infos, common] = ownNumbers(method, state);
      for (const [ref, { slider, toggle, own }] of rows) {
        const model = state.recipe.models.find((one) => one.ref === ref);
        slider.limit(method.weights === "not negative" ? 0 : null);
        slider.set(model ? model.weight : 0);
        slider.disable(!model);
        const weighted = method.weights !== "none";
        slider.hideMore(!model || own.empty(infos, weighted));
        if (model) own.set(model, infos, common, weighted);
        slider.row.classList.toggle("has-own", Object.keys(model?.params ?? {}).length > 0);
        slider.row.classList.toggle("weightless", method.weights === "none");
        toggle.setAttribute("aria-checked", String(Boolean(model)));
      }
      lambda.set(state.recipe.lambda);
      setLearned(state.recipe.tensors);
      note.textContent = usage(method, state, current.experts);
    }

    // What was learned stands beside the weights, and goes when models or method change.
    function setLearned(tensors) {
      learned.hidden = !tensors;
      if (tensors) fill(learned, "Learned tensors ", h("code", { title: tensors }, tensors.slice("learned:".length, "learned:".length + 8)), " multiply these weights or what they add. ",
        h("button", { type: "button", class: "quiet", onclick: () => change(["recipe", "tensors"], undefined) }, "Leave out"));
    }

    return { element: h("section", {}, h("div", { class: "heading-row" }, heading("Models"), more), family.row, list, note, learned, lambda.row, lambda.panel), set: setModels };
  }

  // Where the numbers of the mask stand: the method's own, or the mask's.
  function placeOfMask(state) {
    const method = description.registry.methods.find((one) => one.name === state.recipe.method.name);
    return method.owned_mask ? ["recipe", "method", "params"] : ["recipe", "mask"];
  }

  // What one expert may have for itself, and what all have.
  function ownNumbers(method, state) {
    const mask = method.owned_mask || method.domain === "weight" ? null : description.registry.masks.find((one) => one.name === (state.recipe.mask?.kind ?? "none"));
    const infos = [...method.parameters, ...(mask?.parameters ?? [])].filter((info) => info.per_model);
    return [infos, { ...(state.recipe.mask ?? {}), ...(state.recipe.method.params ?? {}) }];
  }

  function methodSection() {
    const explain = createExplainer("the merge method");
    const method = createMethodPicker({ methods: description.registry.methods, server, theme, formerly, choose: (name) => edit({ kind: "method", name }) });
    method.row.append(explain.button);
    const summary = h("p", { class: "hint" });
    const knobs = h("div", {});
    const kept = keptKnobs(knobs, (name) => ["recipe", "method", "params", name]);
    function setMethod(state) {
      const info = description.registry.methods.find((one) => one.name === state.recipe.method.name);
      method.set(state);
      explain.set(info);
      summary.textContent = info.summary;
      kept(info.name, info.parameters, state.recipe.method.params ?? {});
    }
    return { element: h("section", {}, heading("Method"), method.row, method.panel, summary, takes, knobs, explain.panel), set: setMethod };
  }

  function maskSection() {
    const explain = createExplainer("the mask");
    const kinds = description.registry.masks;
    const kind = createChoice({
      title: "mask", help: "Which scalars of each task vector survive.", choices: kinds.map((one) => ({ value: one.name, title: one.title })),
      onInput: (value) => edit({ kind: "mask", mask: value }),
    });
    kind.row.append(explain.button);
    const knobs = h("div", {});
    const kept = keptKnobs(knobs, (name) => ["recipe", "mask", name]);
    const element = h("section", {}, heading("Mask"), kind.row, knobs, explain.panel);
    function setMask(state) {
      const method = description.registry.methods.find((one) => one.name === state.recipe.method.name);
      element.hidden = method.owns.includes("mask") || method.domain === "weight";
      const mask = state.recipe.mask ?? { kind: "none" };
      const info = kinds.find((one) => one.name === mask.kind) ?? kinds[0];
      kind.set(info.name);
      explain.set(info);
      kept(info.name, info.parameters, mask);
    }
    return { element, set: setMask };
  }

  function layersSection() {
    const explain = createExplainer("layer scaling");
    const kinds = description.registry.scalings;
    const kind = createChoice({
      title: "profile", help: "A factor per depth.", choices: kinds.map((one) => ({ value: one.name, title: one.title })),
      onInput: (value) => edit({ kind: "scaling", scaling: value }),
    });
    kind.row.append(explain.button);
    const knobs = h("div", {});
    const kept = keptKnobs(knobs, (name) => ["recipe", "layer_scaling", name], (name, value) => {
      if (name !== "alpha_rule") return false;
      edit({ kind: "alpha_rule", rule: value });
      return true;
    });
    const hint = h("p", { class: "hint" });
    function setLayers(state) {
      const scaling = state.recipe.layer_scaling ?? { kind: "constant" };
      const info = kinds.find((one) => one.name === scaling.kind) ?? kinds[0];
      kind.set(info.name);
      explain.set(info);
      const ruled = scaling.alpha_rule && scaling.alpha_rule !== "value";
      kept(info.name + (ruled ? "+" : ""), info.parameters.filter((one) => !(ruled && one.name === "alpha")), scaling);
      hint.textContent = info.name === "curve" ? "Drag the points in the chart." : info.name === "constant" ? "Drag a point in the chart to shape it." : "";
    }
    return { element: h("section", {}, heading("Layers"), kind.row, knobs, hint, explain.panel), set: setLayers };
  }

  function footSection() {
    const seed = h("input", { type: "number", class: "number", min: 0, max: 4294967295, step: 1, id: "basin-seed", onchange: () => {
      if (Number.isInteger(seed.valueAsNumber)) change(["recipe", "seed"], seed.valueAsNumber);
      else seed.value = store.get().recipe.seed ?? 0;
    } });
    const dtype = createChoice({ title: "dtype", help: "The merged weights are rounded to it, here and in an export.",
      choices: ["float32", "bfloat16", "float16"].map((value) => ({ value, title: value })), onInput: (value) => change(["recipe", "dtype"], value) });
    const row = h("div", { class: "choice-row" }, h("label", { for: "basin-seed", title: "Random masks come from a hash of it." }, "seed"), seed);
    const button = h("button", { type: "button", class: "primary", onclick: () => scoreOnTest() }, "Score on test");
    const hint = h("p", { class: "hint" });
    function setFoot(state) {
      const method = description.registry.methods.find((one) => one.name === state.recipe.method.name);
      const mask = description.registry.masks.find((one) => one.name === (state.recipe.mask?.kind ?? "none"));
      row.hidden = !(method.stochastic || mask?.stochastic);
      if (document.activeElement !== seed) seed.value = state.recipe.seed ?? 0;
      dtype.set(state.recipe.dtype ?? "float32");
      button.disabled = familyNamed(description, state.family).tasks.length === 0;
      hint.textContent = button.disabled ? "There is nothing to score: no task is chosen for these models. Choose one under Choose models."
        : "The charts use the validation split. A test score is for reporting; each one is counted.";
    }
    return { element: h("section", { class: "foot" }, row, dtype.row, button, hint), set: setFoot };
  }

  // Knobs of a method, kept in place while the method stays the same, so that focus and drag survive.
  function keptKnobs(container, pathOf, intercept = () => false) {
    let key = null;
    let built = new Map();
    return (name, infos, values) => {
      const shown = infos.filter((info) => info.kind !== "points");
      if (key !== name) {
        key = name;
        built = new Map(shown.map((info) => [info.name, createKnob(info, {
          leaves, onEnd: () => store.endGesture(),
          onInput: (value, group) => {
            if (intercept(info.name, value)) return;
            const path = pathOf(info.name);
            const place = path.slice(0, -1);
            const made = replaced(scoped(store.get(), place, info.name, value), path, value);
            const params = place.reduce((inner, key) => inner?.[key], made);
            const idle = infos.filter((one) => one.name in params && !stands(one, infos, params));
            store.commit(idle.reduce((state, one) => replaced(state, [...place, one.name], undefined), made), { group });
          },
        })]));
        fill(container, [...built.values()].map((knob) => [knob.row, knob.panel]));
      }
      for (const info of shown) {
        const knob = built.get(info.name);
        if (!knob) continue;
        knob.set(values[info.name] ?? info.default);
        knob.row.hidden = !stands(info, infos, values);
      }
    };
  }

  // How long a merge takes that does not come at once; null where none does.
  function setTime(seconds) {
    takes.textContent = seconds > 0 ? `This merge takes about ${duration(seconds)}; until then the charts show the one before.` : "";
  }

  // What rooms put beside the heading of the models.
  function extend(elements) {
    fill(more, elements);
  }

  return { element: root, set, extend, takes: setTime };
}

// Which experts a method merges, and how to choose others, where it does not take all of them as they are.
function usage(method, state, experts) {
  const used = state.recipe.models.map((model) => experts.find((one) => one.ref === model.ref)?.title ?? shortName(model.ref));
  const [least, most] = method.models;
  const out = experts.length - used.length;
  if (most === 1) return `${method.title} takes one expert: ${used[0]}.${out > 0 ? " Turn another on to take it instead." : ""}`;
  if (most === 2) return `From ${used[0]} (t = 0) to ${used[1]} (t = 1).${out > 0 ? ` Turn another on to exchange ${used[1]} for it.` : ""}`;
  if (out > 0 && used.length === least && least > 1) return `${used.join(" and ")} used; ${method.title} takes at least ${least}, so leaving one out brings in the next.`;
  return out > 0 ? `${used.length} of ${experts.length} experts used.` : "";
}

function mean(value) {
  return resampled(casesOf(value).at(-1).points, 1)[0];
}
