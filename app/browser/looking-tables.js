// The numbers behind the charts that look closer, as tidy tables: a row for each measurement, units in the header.

export function classesTable(numbers) {
  const header = ["task", "class", "model", "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (examples)", "split"];
  const rows = numbers.classes.flatMap((row) => {
    const about = [row.n, numbers.split];
    const merge = [numbers.task, row.name, "merge", row.accuracy, ...(row.interval ?? [null, null]), ...about];
    return numbers.expert ? [merge, [numbers.task, row.name, numbers.expert.title, row.expert, null, null, ...about]] : [merge];
  });
  return { header, rows };
}

export function confusionTable({ task, split, classes, confusion }) {
  const header = ["task", "true class", "predicted class", "count (examples)", "share of true class (fraction)", "split"];
  const rows = confusion.counts.flatMap((row, i) => [
    ...row.map((value, j) => [task, classes[i].name, classes[j].name, value, confusion.shares[i][j], split]),
    ...(confusion.unanswered[i] ? [[task, classes[i].name, "no answer", confusion.unanswered[i], confusion.unanswered[i] / classes[i].n, split]] : []),
  ]);
  return { header, rows };
}
