// What the page needs before its first drawing, from our own server only: the stylesheet, the palette, plotly.js.

const STYLES = ["studio.css", "charts.css", "learning.css", "print.css", "looking.css", "library.css", "result.css", "all-methods.css", "learn.css", "geometry.css", "export.css", "models.css", "picker.css", "vary.css", "uploads.css", "task-own.css", "hub.css", "simplex.css", "narrow.css"];

export function loadParts(base) {
  return Promise.all([palette(`${base}palette.json`), plotly(`${base}plotly.min.js`), ...STYLES.map((name) => stylesheet(`${base}${name}`))])
    .then(([colours]) => colours);
}

function stylesheet(href) {
  return element("link", { rel: "stylesheet", href });
}

function plotly(src) {
  return window.Plotly ? Promise.resolve() : element("script", { src, charset: "utf-8" });
}

async function palette(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the palette could not be loaded (${answer.status})`);
  return answer.json();
}

function element(tag, attributes) {
  return new Promise((resolve, reject) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.addEventListener("load", resolve, { once: true });
    made.addEventListener("error", () => reject(new Error(`${attributes.href ?? attributes.src} could not be loaded`)), { once: true });
    document.head.append(made);
  });
}
