// The charts that look closer: the stem of their files, their title, what they show, and their numbers as a tidy table.

export const CLASSES = {
  name: "classes", title: "Accuracy of each class", table: classesTable,
  sentence: "How many examples of each class the merge gets right: a bar far below its tick is a class that the expert knew and the merge forgot.",
};

export const CONFUSION = {
  name: "confusion", title: "Confusion of the merge", table: confusionTable,
  sentence: "What each true class (row) is taken for (column): the diagonal is right, and a dark cell beside it is a pair of classes that the merge mixes up.",
};

function classesTable(numbers) {
  const header = ["task", "class", "model", "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (examples)", "split"];
  const rows = numbers.classes.flatMap((row) => {
    const about = [row.n, numbers.split];
    const merge = [numbers.task, row.name, "merge", row.accuracy, ...(row.interval ?? [null, null]), ...about];
    return numbers.expert ? [merge, [numbers.task, row.name, numbers.expert.title, row.expert, null, null, ...about]] : [merge];
  });
  return { header, rows };
}

function confusionTable({ task, split, classes, confusion }) {
  const header = ["task", "true class", "predicted class", "count (examples)", "share of true class (fraction)", "split"];
  const rows = confusion.counts.flatMap((row, i) => [
    ...row.map((value, j) => [task, classes[i].name, classes[j].name, value, confusion.shares[i][j], split]),
    ...(confusion.unanswered[i] ? [[task, classes[i].name, "no answer", confusion.unanswered[i], confusion.unanswered[i] / classes[i].n, split]] : []),
  ]);
  return { header, rows };
}
