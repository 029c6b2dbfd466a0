// A square to draw on with mouse, touch or pen: light on dark, as the training pictures are.

import { h } from "./dom.js";
import { decoded, luma, shrunk } from "./pictures.js";

const SIDE = 256;
const STROKE = 20;

export function createDrawingPad({ onDraw, onPicture, onProblem }) {
  const canvas = h("canvas", {
    class: "pad", width: SIDE, height: SIDE, role: "img", "aria-label": "Drawing area. Without a pointer, choose one of the examples below.",
    onpointerdown: start,
  });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  clear();

  function clear() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  }

  function start(event) {
    if (event.button > 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    let last = place(event);
    stroke(last, last);
    const move = (moved) => {
      for (const step of moved.getCoalescedEvents?.() ?? [moved]) {
        const next = place(step);
        stroke(last, next);
        last = next;
      }
      onDraw();
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("lostpointercapture", () => canvas.removeEventListener("pointermove", move), { once: true });
    onDraw();
  }

  function stroke([fromX, fromY], [toX, toY]) {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: STROKE, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX + 0.01, toY);
    context.stroke();
  }

  // A file becomes gray and is fitted whole; a light one is turned, so that it is light on dark.
  async function open(file) {
    let picture;
    try {
      picture = await decoded(file);
    } catch (error) {
      return onProblem(error.message);
    }
    const scale = SIDE / Math.max(picture.width, picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    const box = [Math.floor((SIDE - width) / 2), Math.floor((SIDE - height) / 2), Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
    clear();
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, ...box);
    picture.close();
    const gray = luma(context.getImageData(...box));
    const turned = gray.reduce((sum, value) => sum + value, 0) > 127 * gray.length;
    put(turned ? gray.map((value) => 255 - value) : gray, box);
    return onPicture(turned);
  }

  function put(values, [left, top, width, height]) {
    const image = context.createImageData(width, height);
    values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
    context.putImageData(image, left, top);
  }

  function invert() {
    put(pixels().map((value) => 255 - value), [0, 0, SIDE, SIDE]);
  }

  function pixels() {
    return luma(context.getImageData(0, 0, SIDE, SIDE));
  }

  // Show a small picture enlarged, so that one can draw over it.
  function show(source) {
    context.imageSmoothingEnabled = false;
    context.drawImage(source, 0, 0, SIDE, SIDE);
    context.imageSmoothingEnabled = true;
  }

  return { element: canvas, clear, invert, open, show, values: (side) => shrunk(pixels(), SIDE, side) };
}
