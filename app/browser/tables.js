// The numbers behind a chart as one tidy table, as app/charts/tables.py makes those of an export on the server: a row for each
// measurement, units in the header, full precision.

const MODELS = [["base", "base"], ["expert", "its expert"], ["average", "simple average"], ["ensemble", "output ensemble"]];
const ends = (row) => row?.interval ?? [null, null];

export function accuracyTable(numbers) {
  const header = ["task", "title", "model", "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "loss (nats)",
    "normalised (merged / expert)", "normalised 95 % low", "normalised 95 % high", "n (examples)", "split", "subset", "transductive"];
  const { normalised } = numbers;
  const rows = [...numbers.tasks, { ...numbers.average, task: "average", title: "mean over tasks" }].flatMap((row) => {
    const about = [row.n ?? numbers.n, numbers.split, numbers.subset];
    const ratio = row.task === "average" ? [normalised?.value, ...ends(normalised)] : [null, null, null];
    const others = [...MODELS.map(([key, title]) => [title, row.references?.[key]]), ["pinned merge", row.pinned], ["tangent prediction", row.foretold]];
    return [
      [row.task, row.title, "merge", row.accuracy, ...ends(row), row.loss, ...ratio, ...about, numbers.transductive ? "yes" : "no"],
      ...others.filter(([, value]) => known(value)).map(([model, value]) => [row.task, row.title, model, value, ...Array(6).fill(null), ...about, null]),
    ];
  });
  return { header, rows };
}

export function pathTable(numbers) {
  const header = ["from", "to", numbers.kind === "lambda" ? "lambda" : "t (0 is from, 1 is to)", "task", "title", "loss (nats)",
    "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (examples, all tasks)", "split"];
  const rows = ["validation", "train"].flatMap((split) => {
    const part = numbers.splits[split];
    return (part?.points ?? []).flatMap((point) => {
      const at = [numbers.a, numbers.b, point.t];
      return [
        [...at, "mean", "mean over tasks", point.loss, point.accuracy, ...ends(point), part.n, split],
        ...numbers.tasks.map((task, i) => [...at, task.task, task.title, point.tasks[i].loss, point.tasks[i].accuracy, null, null, part.n, split]),
      ];
    });
  });
  return { header, rows };
}

export function layersTable(numbers) {
  const header = ["depth", "model", "title", "factor", "norm (L2 of the task vector, or of what the merge adds)",
    "density kept (fraction)", "sign conflict (fraction)", "split"];
  const rows = numbers.depths.flatMap((depth, i) => [
    [depth, "merge", "merge", numbers.factors[i], numbers.merged_norms[i], null, numbers.conflict[i], "weights only"],
    ...numbers.experts.map((expert, j) => [depth, expert.ref, expert.title, null, expert.norms[i], numbers.kept?.[j][i], null, "weights only"]),
  ]);
  return { header, rows };
}

export function cosinesTable({ experts, cosines }) {
  const header = ["expert", "title", "other expert", "other title", "cosine of task vectors", "split"];
  const rows = experts.flatMap((one, i) => experts.map((other, j) => [one.ref, one.title, other.ref, other.title, cosines[i][j], "weights only"]));
  return { header, rows };
}

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

const CURVES = [["lines_gamma", "LiNeS", "gamma"], ["wise_ft", "WiSE-FT", "alpha"]];

export function tradeOffTable(numbers) {
  const header = ["expert", "curve", "parameter", "value", "accuracy on its own task (fraction)", "95 % low (fraction)", "95 % high (fraction)",
    "mean accuracy on the other tasks (fraction)", "others 95 % low (fraction)", "others 95 % high (fraction)",
    "n (examples, own task)", "n (examples, other tasks)", "split", "subset"];
  const about = [numbers.n.target, numbers.n.controls, numbers.split, numbers.subset];
  const rows = CURVES.flatMap(([key, curve, parameter]) => numbers.curves[key].map((point) =>
    [numbers.expert.ref, curve, parameter, point.at, point.target, ...point.target_interval, point.control, ...point.control_interval, ...about]));
  return { header, rows };
}

export function methodsTable({ head, rows }) {
  const header = ["method", "title", "setting", "found", "tried", "task", "accuracy (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (examples)", "split", "transductive"];
  const lines = (row, setting, report) => [{ task: "average", ...report.average, n: report.n }, ...report.tasks].map((one) =>
    [row.method ?? row.name, row.title, setting, Object.entries(report.settings ?? {}).map((pair) => pair.join(" ")).join(", "), report.tried ?? null,
      one.task, one.accuracy, ...one.interval, one.n, head.split, row.transductive ? "yes" : "no"]);
  const measured = rows.filter((row) => row.kind !== "skipped");
  return { header, rows: measured.flatMap((row) => row.kind === "reference" ? lines(row, "reference", row)
    : [...lines(row, "defaults", row.defaults), ...(row.found ? lines(row, "searched", row.found) : [])]) };
}

// CSV (RFC 4180). Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers are written whole.
export function csv({ header, rows }) {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value) {
  if (!known(value)) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function known(value) {
  return value !== null && value !== undefined;
}

export function methodTable({ title, dots, spectrum }) {
  const header = ["kind", "place", "plain (mean of the experts, or value of their sum)", "merged", "experts", "method", "split"];
  const rows = [
    ...dots.mean.map((mean, i) => ["number", i + 1, mean, dots.merged[i], dots.agreement[i], title, "weights only"]),
    ...(spectrum?.sum ?? []).map((value, i) => ["singular value", i + 1, value, spectrum.merged[i], null, title, "weights only"]),
  ];
  return { header, rows };
}
