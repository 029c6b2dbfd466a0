// What a study needs on the page beyond parameters, figures and tables, by its name: examples as pictures, a zoom.
// A part is `create({ server, theme, store, notice, spec(), open(state) })` and gives { element, show(answer) }; `show` hears every answer.
// `setParam(name, value)`, which it is handed too, asks with another value of a parameter.

import { createGeometryBest } from "./geometry-best.js";
import { createGeometryChanges } from "./geometry-changes.js";
import { createGeometryExamples } from "./geometry-examples.js";
import { createGeometryLeaves } from "./geometry-leaves.js";

export const PARTS = {
  interpolate: createGeometryExamples,
  mechanisms: createGeometryChanges,
  subspace: createGeometryBest,
  vectors: createGeometryLeaves,
};
