// A handle on a chart: dragged with a pointer, moved with the arrow keys, announced as a slider.

import { h } from "./dom.js";

export function createHandle(layer, { label, kind, step, onStart = () => {}, onMove, onEnd = () => {} }) {
  let current = 0;
  let bounds = [0, 1];
  const element = h("div", {
    class: `handle handle-${kind}`,
    role: "slider",
    tabindex: "0",
    hidden: true,
    "aria-label": label,
    "aria-orientation": kind === "column" ? "horizontal" : "vertical",
    onpointerdown: start,
    onkeydown: key,
  });
  layer.append(element);

  function start(event) {
    event.preventDefault();
    element.focus();
    element.setPointerCapture(event.pointerId);
    element.classList.add("dragged");
    onStart();
    const move = (moved) => {
      const box = layer.getBoundingClientRect();
      onMove({ x: moved.clientX - box.left, y: moved.clientY - box.top });
    };
    const end = () => {
      element.classList.remove("dragged");
      element.removeEventListener("pointermove", move);
      onEnd();
    };
    element.addEventListener("pointermove", move);
    element.addEventListener("lostpointercapture", end, { once: true });
  }

  function key(event) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (steps === undefined) return;
    event.preventDefault();
    onStart();
    const next = Math.min(bounds[1], Math.max(bounds[0], current + steps * step));
    onMove({ value: Math.round(next / step) * step });
    onEnd();
  }

  function place({ x, y, value, range, text }) {
    current = value;
    bounds = range;
    element.hidden = x === null || y === null;
    element.style.transform = `translate(${x}px, ${y}px)`;
    element.setAttribute("aria-valuemin", range[0]);
    element.setAttribute("aria-valuemax", range[1]);
    element.setAttribute("aria-valuenow", Number(value.toFixed(4)));
    element.setAttribute("aria-valuetext", text);
  }

  return { place, remove: () => element.remove(), element };
}
