// A chart as a picture file: what is on the screen, with title, split, n and legend written into it, on the theme's own ground.

const WIDTH = 900;
const HEIGHT = 420;
const TOP = 58;
const ROW = 20;
const LINE = 138;
const MAPS = ["heatmap", "contour", "surface"];

// `height`: pixels of the chart itself; title and legend come on top of it.
export function picture({ figure, theme, title, words, format, height = null }) {
  const { data, layout } = theme.dress(figure);
  const ground = theme.dress("role:surface");
  const named = data.filter((trace) => trace.name && trace.visible !== false && trace.showlegend !== false && !MAPS.includes(trace.type));
  const legend = named.length > 1;
  const lines = wrapped(words);
  const head = TOP + 16 * (lines.length - 1);
  const above = head + (legend ? ROW * rowsOf(named) : 0);
  const high = height ? height + above : HEIGHT;
  const made = {
    ...layout,
    paper_bgcolor: ground,
    plot_bgcolor: ground,
    margin: { ...layout.margin, t: (layout.margin?.t ?? 0) + above },
    title: {
      text: `<b>${title}</b>`, x: 14 / WIDTH, xanchor: "left", y: 1 - 24 / high, yref: "container", yanchor: "middle",
      font: { size: 15, color: theme.dress("role:ink") },
      subtitle: { text: lines.map(inert).join("<br>"), font: { size: 12, color: theme.dress("role:muted") } },
    },
    showlegend: legend,
    legend: { orientation: "h", traceorder: "normal", x: 0, xanchor: "left", xref: "paper", y: 1 - head / high, yanchor: "top", yref: "container", font: { size: 11.5, color: theme.dress("role:muted") }, bgcolor: ground },
  };
  return window.Plotly.toImage({ data, layout: made }, { format, width: WIDTH, height: high, scale: format === "png" ? 2 : 1 });
}

// Words in lines that a picture has room for.
function wrapped(words) {
  return String(words).split(" ").reduce((lines, word) => ((lines.at(-1) + word).length < LINE ? [...lines.slice(0, -1), `${lines.at(-1)} ${word}`.trim()] : [...lines, word]), [""]);
}

// Names from outside stay text in plotly's markup, as app/charts/roles.py makes them.
function inert(text) {
  return text.replace(/[<>&$]/g, (sign) => ({ "<": "‹", ">": "›", "&": "＆", "$": "＄" })[sign]);
}

// How many rows the legend takes: about seven pixels a letter, and forty for the mark.
function rowsOf(named) {
  let rows = 1;
  let right = 0;
  for (const { name } of named) {
    const wide = 44 + 7 * name.length;
    if (right > 0 && right + wide > WIDTH - 70) {
      rows += 1;
      right = 0;
    }
    right += wide;
  }
  return rows;
}
