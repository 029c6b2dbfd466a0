// What is asked of models, as the visitor chose it: for each study its models, numbers and splits. What was not chosen is a default
// that already says something.

import { createKept } from "./kept.js";
import { plain } from "./families.js";

export const MERGE = "merge";
const MANY = 8;
const PAIRS = 4;
const ALL = ["task vectors", "behaviour", "tangent space"];

// `models` are names: "merge", or references; `offer` is the server's.
export function createGeometryChoice() {
  const kept = createKept("sessionStorage", "basin-geometry");
  let chosen = kept.get() ?? { family: null, study: null, own: {}, subset: null, seed: null };

  function change(next) {
    chosen = { ...chosen, ...next };
    kept.set(chosen);
  }

  // Other models in the studio: what was chosen of the old ones means nothing any more.
  function of(family) {
    if (chosen.family === family) return;
    const own = Object.fromEntries(Object.entries(chosen.own).map(([name, { params, splits }]) => [name, { params, splits }]));
    change({ family, own });
  }

  const study = (offer) => offer.studies.find((one) => one.name === chosen.study) ?? offer.studies[0];
  const own = (name) => chosen.own[name] ?? {};

  function changeOwn(name, next) {
    change({ study: name, own: { ...chosen.own, [name]: { ...own(name), ...next } } });
  }

  // The models of a study: those chosen, else experts of the studio's merge, then whatever else there is; on a plane the merge too.
  function models(info, offer, used) {
    const there = (name) => name === MERGE || offer.models.some((one) => plain(one.ref) === plain(name));
    const [least, most] = info.models;
    const mine = (own(info.name).models ?? []).filter(there).slice(0, most ?? undefined);
    if (mine.length >= least) return mine;
    const experts = offer.models.filter((one) => one.colour !== null).map((one) => one.ref);
    const first = experts.filter((ref) => used.some((one) => plain(one) === plain(ref)));
    const order = [...new Set([...first, ...experts, ...(first.length ? [MERGE] : []), ...offer.models.map((one) => one.ref)])];
    const plane = info.group === "planes";
    const wanted = ALL.includes(info.group) && (most === null || most >= MANY) ? Math.min(first.length || experts.length, MANY) : plane ? 3 : 2;
    const found = order.slice(0, Math.min(Math.max(least, wanted), most ?? MANY));
    return plane && most > MANY && order.includes(MERGE) && !found.includes(MERGE) ? [...found, MERGE] : found;
  }

  // A specification as the server writes one becomes the choice.
  function open(spec) {
    const names = spec.models.map((model) => (typeof model === "string" ? model : MERGE));
    change({ study: spec.study.name, subset: spec.subset, seed: spec.seed, own: { ...chosen.own, [spec.study.name]: { params: spec.study.params ?? {}, splits: spec.splits, models: names } } });
  }

  function spec(offer, state) {
    const info = study(offer);
    const known = new Set(info.parameters.map((one) => one.name));
    const params = Object.fromEntries(Object.entries(own(info.name).params ?? {}).filter(([name]) => known.has(name)));
    const names = models(info, offer, state.recipe.models.map((one) => one.ref));
    return {
      study: { name: info.name, params }, models: names.map((name) => (name === MERGE ? { recipe: state.recipe } : name)),
      ...(info.measures ? { splits: splits(info), subset: chosen.subset ?? offer.subset.default } : {}), seed: chosen.seed ?? offer.seed.default,
    };
  }

  const splits = (info) => own(info.name).splits?.filter((one) => one === "validation" || one === "train") ?? info.splits;

  return {
    of, study, models, splits, spec, open, change, changeOwn,
    params: (info) => ({ ...Object.fromEntries(info.parameters.map((one) => [one.name, one.default])), ...(own(info.name).params ?? {}) }),
    setParam: (info, name, value) => changeOwn(info.name, { params: { ...(own(info.name).params ?? {}), [name]: value } }),
    subset: (offer) => chosen.subset ?? offer.subset.default,
    seed: (offer) => chosen.seed ?? offer.seed.default,
  };
}
