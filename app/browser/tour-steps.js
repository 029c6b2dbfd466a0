// The guided tour: what each step sets, moves and says. Words explain; every number is read from what the page shows.
//
// A step: { title, panel, source, words, moves, read }
//   panel    the panel that it speaks of
//   source   { method } or { scaling }: an entry of the registry; or a source of its own
//   moves    what the page does, one after the other: { changes, values, look, glide }
//              changes   structural changes, as the server's `edit` takes them
//              values    [[path, value]]: numbers set at once
//              look      { at, as }: wait until this is drawn, and keep its numbers under a name
//              glide     { path, to }: a slider moves
//   read     sentences from the numbers on the screen: { accuracy, path, layers } and what was kept; null while unknown

import { count, difference, number, percent, plusMinus } from "./format.js";

const LAMBDA = ["recipe", "lambda"];

// The families that the tour needs: one with a base and experts of several tasks, one with networks of a single task.
export function sceneOf(description) {
  const several = description.families.find((one) => one.base && one.tasks.length > 1 && one.experts.length > 1);
  const single = description.families.find((one) => one.tasks.length === 1 && one.experts.length > 3);
  return several && single ? { several, single, refs: several.experts.map((one) => one.ref) } : null;
}

const several = (scene, ...more) => [{ kind: "family", family: scene.several.name }, { kind: "path", path: { kind: "lambda" } }, ...more];
const all = (scene) => ({ kind: "experts", experts: scene.refs });
const between = ([a, b]) => ({ kind: "path", path: { kind: "between", a, b } });
const last = (scene) => scene.single.experts.slice(-2).map((one) => one.ref);

const here = ({ average, n, split, partial }) => `The merge is at ${percent(average.accuracy, average.interval)} ${plusMinus(average.interval)} % (${split}, ${partial ? "preview of" : "n"} ${count(n)}).`;
const against = ({ average }) => `Against the simple average: ${difference(average.accuracy - average.references.average)} points.`;

export const STEPS = [
  {
    title: "A task vector", panel: "accuracy", source: { method: "task_arithmetic" },
    words: "Fine-tuning moved the base to an expert. The difference of their weights is the task vector; λ says how much of it is added to the base. Watch λ go from nothing to the whole expert.",
    moves: [{
      changes: (scene) => several(scene, { kind: "method", name: "task_arithmetic" }, { kind: "experts", experts: scene.refs.slice(0, 1) }),
      values: [[LAMBDA, 0]], glide: { path: LAMBDA, to: 1 },
    }],
    read: ({ accuracy }, scene) => {
      const task = accuracy?.tasks.find((one) => one.task === scene.several.experts[0].task);
      return task ? [`${task.title}: ${percent(task.accuracy, task.interval)} ${plusMinus(task.interval)} %; the base has ${percent(task.references.base)}, the expert ${percent(task.references.expert)}.`] : null;
    },
  },
  {
    title: "Why the average fails", panel: "accuracy", source: { method: "linear" },
    words: "The mean of all experts keeps a little of each. Their task vectors point in different directions, so in the mean each one shrinks, and with it what its expert learnt.",
    moves: [{ changes: (scene) => several(scene, { kind: "method", name: "linear" }, all(scene)), values: [[LAMBDA, 0]], glide: { path: LAMBDA, to: 1 } }],
    read: ({ accuracy, layers }) => {
      if (!accuracy || !layers?.cosines) return null;
      const { base, expert } = accuracy.average.references;
      const largest = Math.max(...layers.cosines.flatMap((row, i) => row.filter((_, j) => j !== i)));
      return [here(accuracy),
        expert > base ? `That is ${percent((accuracy.average.accuracy - base) / (expert - base), [0, 0.2])} % of what the experts gained over the base (${percent(base)} to ${percent(expert)}).` : "",
        `The largest cosine of two task vectors is ${number(largest)}; 1 would be one direction.`];
    },
  },
  {
    title: "Masks and TIES", panel: "layers", source: { method: "ties" },
    words: "A mask keeps some scalars of a task vector. TIES keeps the largest, lets them vote on a sign, and adds only those that agree. Watch the density fall: fewer scalars are left to disagree, shown grey per layer.",
    moves: [{
      changes: (scene) => several(scene, all(scene), { kind: "method", name: "ties" }),
      values: [[["recipe", "method", "params", "density"], 1]], glide: { path: ["recipe", "method", "params", "density"], to: 0.1 },
    }],
    read: ({ accuracy, layers }) => {
      if (!accuracy || !layers) return null;
      const conflict = layers.conflict.filter((value) => value !== null);
      return [`Signs disagree on ${percent(Math.min(...conflict), [0, 0.2])} to ${percent(Math.max(...conflict), [0, 0.2])} % of a layer's kept scalars.`, here(accuracy), against(accuracy)];
    },
  },
  {
    title: "Layer scaling with LiNeS", panel: "layers", source: { scaling: "lines" },
    words: "Shallow layers hold what all tasks share, deep layers what each needs. LiNeS adds the task vectors gently at the bottom and more strongly towards the top. Watch β tilt the line; you can drag its ends.",
    moves: [{
      changes: (scene) => several(scene, { kind: "method", name: "task_arithmetic" }, all(scene), { kind: "scaling", scaling: "lines" }),
      values: [[LAMBDA, 1], [["recipe", "layer_scaling", "alpha"], 0.3], [["recipe", "layer_scaling", "beta"], 0]],
      glide: { path: ["recipe", "layer_scaling", "beta"], to: 0.4 },
    }],
    read: ({ accuracy, layers }) => {
      if (!accuracy || !layers?.scaling?.points?.length) return null;
      const { points } = layers.scaling;
      return [`The factor is ${number(points[0].value)} at the first block and ${number(points.at(-1).value)} at the last.`, here(accuracy), against(accuracy)];
    },
  },
  {
    title: "What a barrier is", panel: "path", source: {
      authors: "Frankle et al.", year: 2020, title: "Linear Mode Connectivity and the Lottery Ticket Hypothesis", url: "https://arxiv.org/abs/1912.05671",
    },
    words: "Other networks: first two that were trained on from one start, then two from different starts. Each is good, but on the straight line between strangers the loss rises: a barrier, and their mean is poor.",
    moves: [
      { changes: (scene) => [{ kind: "family", family: scene.single.name }, between(scene.single.experts.slice(0, 2).map((one) => one.ref))], look: { at: "path", as: "brothers" } },
      {
        changes: (scene) => [{ kind: "experts", experts: last(scene) }, between(last(scene))],
        values: [[["recipe", "models", 1, "weight"], 0]], glide: { path: ["recipe", "models", 1, "weight"], to: 1 },
      },
    ],
    read: ({ accuracy, path, brothers }) => {
      const rise = (numbers) => number(numbers.barrier.validation?.loss.height);
      if (!brothers) return null;
      const first = `From one start (${brothers.a} to ${brothers.b}) the barrier is ${rise(brothers)}.`;
      return path && accuracy && path.a !== brothers.a ? [first, `Between strangers (${path.a} to ${path.b}) it is ${rise(path)}.`, here(accuracy)] : [first];
    },
  },
];
