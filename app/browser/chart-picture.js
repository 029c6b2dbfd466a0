// A chart as a picture file: what is on the screen, with title, split, n and legend written into it, on the theme's own ground.

const WIDTH = 900;
const HEIGHT = 420;
const TOP = 58;
const ROW = 20;
const LETTER = 6.5;
const MAPS = ["heatmap", "contour", "surface"];

// `width`, `height`: pixels of the chart itself; title and legend come on top of it.
export function picture({ figure, theme, title, words, format, width = WIDTH, height = null }) {
  const { data, layout } = theme.dress(figure);
  const ground = theme.dress("role:surface");
  const named = data.filter((trace) => trace.name && trace.visible !== false && trace.showlegend !== false && !MAPS.includes(trace.type));
  const legend = named.length > 1;
  const lines = wrapped(words, width);
  const head = TOP + 16 * (lines.length - 1);
  const above = head + (legend ? ROW * rowsOf(named, width) : 0);
  const high = height ? height + above : HEIGHT;
  const made = {
    ...layout,
    paper_bgcolor: ground,
    plot_bgcolor: ground,
    margin: { ...layout.margin, t: (layout.margin?.t ?? 0) + above },
    title: {
      text: `<b>${title}</b>`, x: 14 / width, xanchor: "left", y: 1 - 24 / high, yref: "container", yanchor: "middle",
      font: { size: 15, color: theme.dress("role:ink") },
      subtitle: { text: lines.map(inert).join("<br>"), font: { size: 12, color: theme.dress("role:muted") } },
    },
    showlegend: legend,
    legend: { orientation: "h", traceorder: "normal", x: 0, xanchor: "left", xref: "paper", y: 1 - head / high, yanchor: "top", yref: "container", font: { size: 11.5, color: theme.dress("role:muted") }, bgcolor: ground },
  };
  return window.Plotly.toImage({ data, layout: made }, { format, width, height: high, scale: format === "png" ? 2 : 1 });
}

// Words in lines that a picture has room for.
function wrapped(words, width) {
  const room = width / LETTER;
  return String(words).split(" ").reduce((lines, word) => ((lines.at(-1) + word).length < room ? [...lines.slice(0, -1), `${lines.at(-1)} ${word}`.trim()] : [...lines, word]), [""]);
}

// Names from outside stay text in plotly's markup, as app/charts/roles.py makes them.
function inert(text) {
  return text.replace(/[<>&$]/g, (sign) => ({ "<": "‹", ">": "›", "&": "＆", "$": "＄" })[sign]);
}

// How many rows the legend takes, about: seven pixels a letter, and forty for the mark; in columns of one width where it takes several.
function rowsOf(named, width) {
  const wide = [...new Set(named.map((trace) => trace.name))].map((name) => 44 + 7 * name.length);
  const room = width - 70;
  if (wide.reduce((sum, one) => sum + one, 0) <= room) return 1;
  return Math.ceil(wide.length / Math.max(1, Math.floor(room / Math.max(...wide))));
}
