// The numbers of a run as tidy tables, one row for each measurement, as tables.js makes those of the other charts.

export function lossTable({ curve, tasks, teachers = tasks, objective, split }) {
  const header = ["step (mean of the points behind it)", "task", `${objective} (nats)`, "split"];
  const rows = curve.steps.flatMap((step, i) => [[step, "added over the tasks", curve.loss[i], split],
    ...teachers.map((task, place) => [step, task.title, curve.losses[i][place], split])]);
  return { header, rows };
}

export function runAccuracyTable({ checks, baseline, tasks, subset, transductive, yardstick }) {
  const header = ["step", "model", "task", "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (examples, all tasks)", "split", "subset", "transductive", "best so far"];
  const lines = (step, model, found, best) => [[step, model, "mean over tasks", found.average, ...found.interval, found.n, found.split, subset, transductive ? "yes" : "no", best],
    ...tasks.map((task, place) => [step, model, task.title, found.tasks[place].accuracy, ...found.tasks[place].interval, null, found.split, subset, transductive ? "yes" : "no", null])];
  return { header, rows: [...(baseline ? lines(null, yardstick, baseline, null) : []), ...checks.flatMap((check) => lines(check.step, "merge", check, check.best ? "yes" : "no"))] };
}

export function coefficientsTable({ coefficients, experts }) {
  const header = ["expert", "depth", coefficients.by === "leaf" ? "leaf" : "what", "coefficient"];
  return { header, rows: experts.flatMap((expert, i) => coefficients.rows[i].map((value, j) => [expert.title, coefficients.columns[j], coefficients.names[j], value])) };
}

export function densityTable({ density }) {
  const header = ["depth", "density kept (fraction)"];
  return { header, rows: [["all", density.whole], ...density.columns.map((depth, i) => [depth, density.values[i]])] };
}
