// The charts that are drawn in more than one place: the stem of their files, their title, what they show, their numbers.

import { accuracyTable, cosinesTable, layersTable, pathTable } from "./tables.js";

export const ACCURACY = {
  name: "accuracy", title: "Accuracy per task", table: accuracyTable,
  sentence: "How many of each task's examples the merge gets right: the nearer a bar comes to its expert's tick, the less the merge has lost.",
};

export const PATH = {
  name: "path", title: "Path", table: pathTable,
  sentence: "Loss and accuracy on the way from one model to another: where the loss rises above the straight dotted line between its ends, a barrier lies between the two.",
};

export const LAYERS = {
  name: "layers", title: "Layers", table: layersTable,
  sentence: "How strongly each layer of the experts is added, how far each expert moved there (‖τ‖), and how large a share of the numbers the experts would push in opposite directions (sign conflict).",
};

export const COSINES = {
  name: "cosines", title: "Cosines of task vectors", table: cosinesTable,
  sentence: "How far two experts changed the base in the same direction: 1 is the same, 0 is unrelated, −1 is opposite.",
};
