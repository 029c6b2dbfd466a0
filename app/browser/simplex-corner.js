// A ring at softmax(logits) that is dragged over the triangle; its place is turned back into logits. For pointers only: by
// keyboard the three sliders do the same.

import { h } from "./dom.js";
import { LOGIT, within } from "./simplex-controls.js";

const TOP = Math.sqrt(3) / 2;
const LEAST = 1e-3;

export function createCorner(layer, chart, onMove) {
  const ring = h("div", { class: "simplex-ring", "aria-hidden": "true", hidden: true, onpointerdown: start });
  layer.append(ring);

  function start(event) {
    event.preventDefault();
    ring.setPointerCapture(event.pointerId);
    ring.classList.add("dragged");
    const move = (moved) => {
      const box = layer.getBoundingClientRect();
      const [x, y] = [chart.value("xaxis", moved.clientX - box.left), chart.value("yaxis", moved.clientY - box.top)];
      if (x !== null && y !== null) onMove(logitsOf(x, y));
    };
    ring.addEventListener("pointermove", move);
    ring.addEventListener("lostpointercapture", () => {
      ring.classList.remove("dragged");
      ring.removeEventListener("pointermove", move);
    }, { once: true });
  }

  function place(logits) {
    const [, right, top] = softmax(logits);
    const [x, y] = [chart.pixel("xaxis", right + top / 2), chart.pixel("yaxis", top * TOP)];
    ring.hidden = x === null || y === null;
    if (!ring.hidden) ring.style.transform = `translate(${x}px, ${y}px)`;
  }

  return { place };
}

// The logits whose softmax lies at a place of the plane, adding up to 0 and rounded as the sliders are.
function logitsOf(x, y) {
  const top = y / TOP;
  const right = x - top / 2;
  const logs = [1 - right - top, right, top].map((part) => Math.log(Math.max(LEAST, part)));
  const middle = logs.reduce((sum, value) => sum + value, 0) / logs.length;
  return logs.map((value) => Number(within(value - middle, LOGIT.range).toFixed(1)));
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const parts = logits.map((value) => Math.exp(value - largest));
  const sum = parts.reduce((total, part) => total + part, 0);
  return parts.map((part) => part / sum);
}
