// Gray pictures of a task's size: values 0 to 255 row by row, tiles of a sprite, and files that become gray.

import { h } from "./dom.js";

const KINDS = ["image/png", "image/jpeg", "image/webp"];
const LARGEST_FILE = 32 * 1024 * 1024;

export function toBase64(values) {
  return btoa(String.fromCharCode(...values));
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Paint gray values into a canvas of exactly their size; CSS enlarges it.
export function paint(canvas, values, side) {
  if (canvas.width !== side) {
    canvas.width = side;
    canvas.height = side;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

// One picture of a sprite, `size` pixels wide.
export function tile(sprite, index, size) {
  return h("span", { class: "tile", "aria-hidden": "true", style: {
    width: `${size}px`, height: `${size}px`, "background-image": `url("${sprite.source}")`,
    "background-size": `${size * sprite.count}px ${size}px`, "background-position": `${-size * index}px 0`,
  } });
}

// The picture of a file, or an error whose message is a sentence.
export async function decoded(file) {
  if (!KINDS.includes(file.type)) throw new Error("That file is no picture: PNG, JPEG and WebP can be read.");
  if (file.size > LARGEST_FILE) throw new Error("That picture is larger than 32 MB; choose a smaller one.");
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error("That file says it is a picture but cannot be read; it may be damaged.");
  }
}

// Luma of each pixel: 0.299 R + 0.587 G + 0.114 B, over black.
export function luma(image) {
  const { data } = image;
  const values = new Uint8Array(data.length / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  return values;
}

// The means of side × side areas of a square picture `whole` pixels wide; `whole` need not be a multiple.
export function shrunk(values, whole, side) {
  const scale = whole / side;
  const spans = Array.from({ length: side }, (_, i) => spanOf(i * scale, (i + 1) * scale));
  return Uint8Array.from({ length: side * side }, (_, place) => {
    let sum = 0;
    for (const [y, high] of spans[Math.floor(place / side)]) for (const [x, wide] of spans[place % side]) sum += high * wide * values[y * whole + x];
    return Math.floor(sum / (scale * scale) + 0.5);
  });
}

function spanOf(from, to) {
  const found = [];
  for (let i = Math.floor(from); i < to; i += 1) found.push([i, Math.min(to, i + 1) - Math.max(from, i)]);
  return found;
}
