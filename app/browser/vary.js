// An editor below a number, in the flow: one number, a line over depth whose points are dragged or typed, or a number for each
// part of the leaves' names. Nothing is told before it is whole.

import { fill, freshId, h } from "./dom.js";
import { number } from "./format.js";
import { createHandle } from "./handle.js";
import { byName, casesOf, counted, madeOf, resampled, told, typed, varies } from "./varying.js";

const MODES = [["one", "one number"], ["depth", "over depth"], ["names", "by name"]];
const MOST = 24;

// `leaves()` promises { names, blocks } of the models; `onInput(value, group)` is told a number or what stands for one that varies.
export function createVary({ title, range, bounds, openBelow = false, step, leaves, onInput, onEnd = () => {} }) {
  const id = freshId("vary");
  const body = h("div", { class: "vary-body" });
  const radios = MODES.map(([mode, text]) => {
    const radio = h("input", { type: "radio", name: id, value: mode, onchange: () => turn(mode) });
    return h("label", {}, radio, text);
  });
  const element = h("div", { class: "vary", role: "group", "aria-label": `${title} from leaf to leaf` }, h("div", { class: "vary-modes", role: "radiogroup", "aria-label": `how ${title} varies` }, radios), body);
  const digits = Math.max(2, Math.ceil(-Math.log10(step)));
  let value = null;
  let mode = null;
  let draft = [];
  let known = { names: [], blocks: 0 };

  // A value from elsewhere: undo, a link, another expert. What somebody types here stays as it is.
  function set(next) {
    if (mode !== null && JSON.stringify(next) === JSON.stringify(value)) return;
    value = next;
    mode = byName(next) ? "names" : varies(next) ? "depth" : "one";
    draft = casesOf(next);
    show();
  }

  function open() {
    leaves().then((found) => {
      known = found;
      show();
    });
  }

  function say(next, group = null) {
    value = next;
    onInput(next, group);
  }

  function turn(next) {
    const { points } = draft.at(-1);
    mode = next;
    draft = [{ filter: "", points: next === "one" ? resampled(points, 1, digits) : next === "depth" ? resampled(points, Math.max(2, points.length), digits) : points }];
    if (next === "names") draft = [{ filter: "", points, fresh: true }, ...draft];
    say(madeOf(whole()));
    show();
  }

  function whole() {
    return draft.filter(({ filter, fresh }) => !(fresh && filter === ""));
  }

  function show() {
    radios.forEach((label) => { label.firstChild.checked = label.firstChild.value === mode; });
    if (mode === "depth") fill(body, line());
    else if (mode === "names") fill(body, cases());
    else fill(body);
  }

  // Over depth.
  function line() {
    const area = h("i", { class: "vary-area", "aria-hidden": "true" });
    const layer = h("div", { class: "handles" });
    const plot = h("div", { class: "vary-plot" }, h("span", { class: "vary-most" }), area, layer, h("span", { class: "vary-least" }));
    const text = h("input", { type: "text", "aria-label": `${title} over depth, first block to last`, onchange: () => fromText(text) });
    const points = () => draft[0].points;
    const handles = points().map((_, i) => createHandle(layer, {
      label: `${title}, point ${i + 1} of ${points().length}`, kind: "point", step,
      onMove: ({ y, value: exact }) => move(i, exact ?? span[1] - ((span[1] - span[0]) * y) / layer.clientHeight), onEnd,
    }));
    let span = range;

    function move(i, next) {
      const [low, high] = [Math.max(range[0], bounds?.[0] ?? -Infinity), Math.min(range[1], bounds?.[1] ?? Infinity)];
      const bounded = Number((Math.round(Math.min(high, Math.max(low, next)) / step) * step).toFixed(digits));
      draft = [{ filter: "", points: points().map((old, k) => (k === i ? bounded : old)) }];
      say(madeOf(draft), `${id}-${i}`);
      place();
    }

    function place() {
      span = [Math.min(range[0], ...points()), Math.max(range[1], ...points())];
      const [wide, high, many] = [layer.clientWidth, layer.clientHeight, points().length];
      const up = (point) => (span[1] - point) / (span[1] - span[0]);
      area.style.clipPath = `polygon(${points().map((point, i) => `${(100 * i) / (many - 1)}% ${100 * up(point)}%`).join(", ")}, 100% ${100 * up(0)}%, 0 ${100 * up(0)}%)`;
      plot.firstChild.textContent = number(span[1], 2);
      plot.lastChild.textContent = number(span[0], 2);
      if (document.activeElement !== text) text.value = points().map((point) => number(point, digits)).join(", ");
      points().forEach((point, i) => handles[i].place({ x: (wide * i) / (many - 1), y: high * up(point), value: point, range: span, text: number(point, digits) }));
    }

    new ResizeObserver(place).observe(layer);
    place();
    const change = (by, says, sign) => h("button", { type: "button", class: "quiet", "aria-label": says, title: says, disabled: points().length + by < 2 || points().length + by > MOST,
      onclick: () => { draft = [{ filter: "", points: resampled(points(), points().length + by, digits) }]; say(madeOf(draft)); show(); } }, sign);
    const blocks = known.blocks > 1 ? [h("span", {}, "block 0"), h("span", {}, `block ${known.blocks - 1}`)] : [h("span", {}, "first block"), h("span", {}, "last block")];
    return [plot, h("div", { class: "vary-ends", "aria-hidden": "true" }, blocks),
      h("div", { class: "vary-text" }, text, change(-1, `one point fewer for ${title}`, "−"), change(1, `one point more for ${title}`, "+"))];
  }

  function fromText(text) {
    const points = typed(text.value, bounds ?? [null, null], openBelow);
    text.setAttribute("aria-invalid", String(points === null));
    if (points === null) return;
    draft = [{ filter: "", points: points.length === 1 ? [points[0], points[0]] : points }];
    say(madeOf(draft));
    show();
  }

  // By the names of leaves.
  function cases() {
    const counts = draft.map(() => h("span", { class: "vary-count" }));

    function count() {
      const found = counted(draft.map((one) => (one.fresh && one.filter === "" ? { filter: "\n" } : one)), known.names);
      counts.forEach((element, i) => {
        const empty = draft[i].fresh && draft[i].filter === "";
        element.textContent = known.names.length === 0 || empty ? "" : found[i] === 1 ? "1 leaf" : `${found[i]} leaves`;
        element.classList.toggle("none", found[i] === 0 && !empty && draft[i].filter !== "");
      });
    }

    function tell(group) {
      count();
      say(madeOf(whole()), group);
    }

    const rows = draft.map((one, i) => {
      const last = i === draft.length - 1 && !one.fresh && one.filter === "";
      const filter = h("input", { type: "text", value: one.filter, placeholder: "part of a name", maxlength: "200", spellcheck: "false", autocomplete: "off", "aria-label": `${title}: part of a leaf's name`,
        oninput: () => { draft[i] = { ...draft[i], filter: filter.value }; count(); }, onchange: () => tell() });
      const text = h("input", { type: "text", class: "vary-value", value: one.points.join(", "), "aria-label": last ? `${title} in all other leaves` : `${title} there: a number, or numbers over depth`, title: "a number, or several over depth: 0, 0.5, 1",
        onchange: () => {
          const points = typed(text.value, bounds ?? [null, null], openBelow);
          text.setAttribute("aria-invalid", String(points === null));
          if (points === null) return;
          draft[i] = { ...draft[i], points };
          tell();
        } });
      const away = h("button", { type: "button", class: "quiet", "aria-label": `without this part for ${title}`, title: "remove", onclick: () => { draft = draft.filter((_, k) => k !== i); tell(); show(); } }, "✕");
      return h("div", { class: "vary-case" }, last ? h("span", { class: "rest" }, "all others") : filter, text, counts[i], last ? "" : away);
    });
    count();
    const more = h("button", { type: "button", class: "quiet", onclick: () => {
      const rest = draft.findIndex((one, i) => i === draft.length - 1 && !one.fresh && one.filter === "");
      const at = rest < 0 ? draft.length : rest;
      draft = [...draft.slice(0, at), { filter: "", points: draft.at(-1).points, fresh: true }, ...draft.slice(at)];
      show();
      body.querySelectorAll(".vary-case input:not(.vary-value)")[at]?.focus();
    } }, "Add a part");
    return [...rows, h("div", { class: "vary-foot" }, more, h("span", { class: "hint" }, "the first that stands in a leaf's name decides"))];
  }

  return { element, set, open, told: () => told(value) };
}
