// A study on paper: its figures in light colours at the width of a sheet, without controls.

const SHEET = 690;

export function createGeometryPrint(element, theme) {
  let sizes = [];

  function toPaper() {
    if (element.hidden) return;
    theme.force("light");
    sizes = [...element.querySelectorAll(".js-plotly-plot")].filter((chart) => chart.clientWidth > 0).map((chart) => ({ chart, width: chart._fullLayout?.width }));
    sizes.forEach(({ chart }) => window.Plotly.relayout(chart, { width: Math.min(SHEET, chart.clientWidth) }));
  }

  function toScreen() {
    if (sizes.length) theme.force(null);
    sizes.forEach(({ chart, width }) => width && window.Plotly.relayout(chart, { width }));
    sizes = [];
  }

  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);
}
