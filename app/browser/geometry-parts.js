// What a study needs on the page beyond parameters, figures and tables, by its name: examples as pictures, a zoom.
// A part is `create({ server, theme, store, spec() })` and gives { element, show(answer) }; `show` hears every answer.

import { createGeometryExamples } from "./geometry-examples.js";

export const PARTS = {
  interpolate: createGeometryExamples,
};
