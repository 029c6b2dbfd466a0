// The figures of chance as tables.

export function simplexTable({ classes, points, drawn, temperature, logits }) {
  const header = ["sample", "class drawn", ...classes.map((one) => `part of ${one.name}`), "temperature", ...classes.map((one) => `logit of ${one.name}`)];
  return { header, rows: points.map((point, i) => [i + 1, classes[drawn[i]].name, ...point, temperature, ...logits]) };
}

export function chancesTable({ classes, n }) {
  const header = ["class", "softmax (fraction)", "drawn (fraction)", "95 % low (fraction)", "95 % high (fraction)", "n (samples)"];
  return { header, rows: classes.map((one) => [one.name, one.probability, one.share, ...one.interval, n]) };
}

export function coinTable({ bins, n, logit, temperature }) {
  const header = ["from", "to", "samples", "density of the samples", "expected density", "n (samples)", "logit", "temperature"];
  return { header, rows: bins.map((one) => [one.low, one.high, one.count, one.density, one.expected, n, logit, temperature]) };
}
