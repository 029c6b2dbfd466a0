// The studio on paper (another view prints as it says itself): charts and numbers in light colours at the width of a sheet, with the recipe, split, n and date.

import { fill, h } from "./dom.js";
import { familyNamed } from "./families.js";
import { count } from "./format.js";

const CHARTS = ".basin .js-plotly-plot";
const SHEET = 690;

export function createPrint({ store, theme, description }) {
  const facts = h("p", { class: "facts" });
  const recipe = h("pre", {});
  const element = h("section", { class: "paper-only", "aria-hidden": "true" }, h("h2", {}, "The merge"), facts, recipe);
  let numbers = null;
  let sizes = [];

  function write() {
    const { family, recipe: made } = store.get();
    const title = familyNamed(description, family)?.title ?? family;
    const measured = numbers ? `${numbers.split} split, ${numbers.partial ? "preview of" : "n"} ${count(numbers.n)}, 95 % intervals` : "not measured yet";
    fill(facts, `${title}: ${measured}. Printed ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC by Basin ${description.version} (${description.device}).`);
    recipe.textContent = JSON.stringify(made, null, 1).replace(/\n\s+(?=["\w-][^\n]*[^{[\n]$)/gm, " ").replace(/\n\s*([}\]])/g, " $1");
  }

  function toPaper() {
    const root = element.closest(".basin");
    if (element.closest("[hidden]")) return;
    write();
    root.classList.add("on-paper");
    theme.force("light");
    sizes = [...document.querySelectorAll(CHARTS)].map((chart) => ({ chart, width: chart._fullLayout?.width }));
    sizes.forEach(({ chart }) => window.Plotly.relayout(chart, { width: Math.min(SHEET, chart.clientWidth || SHEET) }));
  }

  function toScreen() {
    element.closest(".basin").classList.remove("on-paper");
    theme.force(null);
    sizes.forEach(({ chart, width }) => width && window.Plotly.relayout(chart, { width }));
    sizes = [];
  }

  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);
  return { panel: element, answer: (kind, answer, newest) => { if (newest && (kind === "settle" || kind === "preview")) numbers = answer.numbers; } };
}
