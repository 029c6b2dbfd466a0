// One plotly chart that is never remounted: data goes in by Plotly.react, zoom and hover survive.

const CONFIG = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: "reset", scrollZoom: false };

const NARROW = 480;

export function createChart(element, theme, { onDrawn = () => {} } = {}) {
  const { Plotly } = window;
  let figure = null;
  let text = "";
  let begun = null;

  // The same figure again costs nothing; a new theme or size draws it anew.
  async function draw(next) {
    const nextText = JSON.stringify(next);
    if (nextText === text) return onDrawn();
    figure = next;
    text = nextText;
    return paint();
  }

  // Parts of a drawing name each other by addresses: without the page's own in them, they hold when that changes.
  async function begin() {
    await Plotly.newPlot(element, [], { width: element.clientWidth, height: element.clientHeight }, CONFIG);
    element._context._baseUrl = "";
  }

  async function paint() {
    await (begun ??= begin());
    const { data, layout, narrow } = theme.dress(figure);
    if (element.clientWidth < NARROW) for (const [path, value] of Object.entries(narrow ?? {})) assign(layout, path.split("."), value);
    await Plotly.react(element, data, { ...layout, width: element.clientWidth, height: element.clientHeight });
    onDrawn();
  }

  const redraw = () => {
    if (figure && element.clientWidth > 0) paint();
  };
  theme.onChange(redraw);
  new ResizeObserver(redraw).observe(element);

  // The pixel of a value on an axis ("xaxis", "yaxis2", …), relative to the chart's element; null before the first draw.
  function pixel(axisName, value) {
    const axis = element._fullLayout?.[axisName];
    return axis ? axis._offset + axis.l2p(value) : null;
  }

  function value(axisName, position) {
    const axis = element._fullLayout?.[axisName];
    return axis ? axis.p2l(position - axis._offset) : null;
  }

  function extent(axisName) {
    const axis = element._fullLayout?.[axisName];
    return axis ? [axis._offset, axis._offset + axis._length] : null;
  }

  return { draw, pixel, value, extent, element };
}

function assign(target, [key, ...rest], value) {
  if (rest.length === 0) target[key] = value;
  else assign((target[key] ??= {}), rest, value);
}
