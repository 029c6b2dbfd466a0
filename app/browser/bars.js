// Accuracy per task as a small picture: one bar and interval per task, a tick where the base stands.

const SPACE = "http://www.w3.org/2000/svg";
const HEIGHT = 40;
const BAR = 26;
const STEP = 36;

export function taskBars(numbers) {
  const width = STEP * Math.max(6, numbers.tasks.length);
  const start = (width - STEP * numbers.tasks.length) / 2;
  const y = (value) => HEIGHT * (1 - Math.min(1, Math.max(0, value)));
  const marks = numbers.tasks.flatMap((task, i) => {
    const left = start + STEP * i + (STEP - BAR) / 2;
    const middle = left + BAR / 2;
    const tone = task.colour === null || task.colour === undefined ? "var(--merge)" : `var(--expert-${task.colour % 8})`;
    const base = task.references?.base;
    return [
      shape("rect", { x: left, y: y(task.accuracy), width: BAR, height: HEIGHT - y(task.accuracy) }, { fill: tone, "fill-opacity": 0.55 }),
      task.interval ? shape("path", { d: `M${middle} ${y(task.interval[0])}V${y(task.interval[1])}` }, { stroke: "var(--ink)", "stroke-width": 1.2 }) : null,
      typeof base === "number" ? shape("path", { d: `M${left - 2} ${y(base)}h${BAR + 4}` }, { stroke: "var(--base)", "stroke-width": 2 }) : null,
    ];
  });
  const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "xMidYMax meet", "aria-hidden": "true", class: "task-bars" });
  picture.append(shape("path", { d: `M0 ${HEIGHT - 0.5}H${width}` }, { stroke: "var(--line)" }), ...marks.filter(Boolean));
  return picture;
}

function shape(tag, attributes, style = {}) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  return element;
}
