// Every chart: the stem of their files, their title, what they show, their numbers.

import { coefficientsTable, densityTable, lossTable, runAccuracyTable } from "./learn-tables.js";
import { chancesTable, coinTable, simplexTable } from "./simplex-tables.js";
import { accuracyTable, classesTable, confusionTable, cosinesTable, layersTable, methodsTable, methodTable, pathTable, tradeOffTable } from "./tables.js";

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

export const CLASSES = {
  name: "classes", title: "Accuracy of each class", table: classesTable,
  sentence: "How many examples of each class the merge gets right: a bar far below its tick is a class that the expert knew and the merge forgot.",
};

export const CONFUSION = {
  name: "confusion", title: "Confusion of the merge", table: confusionTable,
  sentence: "What each true class (row) is taken for (column): the diagonal is right, and a dark cell beside it is a pair of classes that the merge mixes up.",
};

export const TRADE_OFF = {
  name: "trade-off", title: "Trade-off of one expert", table: tradeOffTable,
  sentence: "What an expert gains on its own task against what the other tasks lose: a curve further up and to the right keeps more of both.",
};

export const TEST_SCORE = {
  name: "test", title: "Test score", table: accuracyTable,
  sentence: "How many of each task's test examples the merge gets right: examples that no slider was moved for.",
};

export const METHOD = {
  name: "method", title: "What the method does", table: methodTable,
  sentence: "A sample of the numbers of your own experts, by their plain mean (to the right) and by what the method makes of them (upward), both at λ = 1: on the dotted line they are the same, and strokes on the middle line were dropped.",
};

export const LEARN_LOSS = {
  name: "learn-loss", title: "What is minimised", table: lossTable,
  sentence: "What the run makes small, step by step, on batches of the examples that it learns from: added over the tasks, and of each task.",
};

export const LEARN_ACCURACY = {
  name: "learn-accuracy", title: "Accuracy on validation", table: runAccuracyTable,
  sentence: "How many validation examples the merge gets right at each check. What is minimised can fall while this falls too: then the run is past its best. The dashed line is task arithmetic on the same examples.",
};

export const LEARN_COEFFICIENTS = {
  name: "learn-coefficients", title: "Coefficients", table: coefficientsTable,
  sentence: "How much of each expert the merge takes, from the first layer to the last: purple is more than nothing, orange is less.",
};

export const LEARN_DENSITY = {
  name: "learn-density", title: "Density of the mask", table: densityTable,
  sentence: "Which share of what the experts add is kept, at each depth and in all.",
};

export const METHODS = {
  name: "methods", title: "All methods", table: methodsTable,
  sentence: "How well each method merges the same experts: where two intervals overlap, the examples do not say which of the two is better.",
};

export const SIMPLEX = {
  name: "simplex", title: "Samples on the simplex", table: simplexTable,
  sentence: "Samples of one of three classes, made smooth by a temperature: at a corner the sample is one class, in the middle it is a third of each.",
};

export const CHANCES = {
  name: "chances", title: "How often each class was drawn", table: chancesTable,
  sentence: "The share of the samples in which each class was drawn, with 95 % intervals, beside its probability: the softmax of the logits.",
};

export const COIN = {
  name: "coin", title: "Samples of a relaxed coin", table: coinTable,
  sentence: "Where the samples of a relaxed coin lie between 0 and 1, and their density: a cold coin lies near its ends, a warm one near the middle.",
};
