// Compare: every method on the experts of the studio, as a chart and a table that grow row by row. The work is a job of the
// server: it goes on without the page, and the page finds it again.

import { createMethodsTable } from "./all-methods-table.js";
import { createChart } from "./chart.js";
import { METHODS } from "./chart-kinds.js";
import { createChartTools } from "./chart-tools.js";
import { fill, h } from "./dom.js";
import { familyNamed, plain } from "./families.js";
import { count } from "./format.js";
import { unfinished } from "./job-watch.js";

const LOOK_EVERY = 400;
const LOST_EVERY = 2000;
const LINE = 24;
const FRAME = 52;

export function createAllMethods({ server, store, theme, description, open }) {
  if (!server.comparison_start) return {};
  const about = h("p", { class: "stage" });
  const search = h("input", { type: "checkbox", id: "basin-compare-search" });
  const start = h("button", { type: "button", class: "primary", onclick: begin }, "Compare");
  const stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => cancel() }, "Stop");
  const bar = h("progress", { max: "1", value: "0", hidden: true, "aria-label": "share of the methods that is measured" });
  const says = h("p", { class: "hint", role: "status" });
  const trouble = h("div", { class: "trouble", role: "alert" });
  const words = h("p", { class: "hint words" });
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const tools = createChartTools(METHODS, theme);
  const table = createMethodsTable({ take });
  const skipped = h("details", { class: "skipped", hidden: true });
  const found = h("div", { class: "found", hidden: true },
    h("header", {}, h("h3", {}, "Accuracy of every method"), h("span", { class: "spacer" }), tools.element), plot, words, table.element, skipped);
  const element = h("div", { class: "all-methods" }, h("section", { class: "panel", "aria-label": "All methods" },
    h("header", {}, h("h2", {}, "Compare all methods"), about),
    h("p", { class: "hint" }, "Every method that takes these experts, at its defaults. The search tries λ and one or two parameters, at most 12 settings a method: one half of the validation examples chooses, the other half is shown, for every row. Press a method to have it in the studio."),
    h("div", { class: "asking" }, start, h("label", { for: search.id }, search, " with a short search"), stop, bar, says),
    trouble, found));
  const chart = createChart(plot, theme);
  let job = null;
  let head = null;
  let rows = [];
  let figure = null;
  let watching = false;
  let looked = false;
  let again = false;

  const shown = () => !element.hidden;
  const modelsOf = (recipe) => JSON.stringify([recipe.base, ...recipe.models.map((entry) => entry.ref)].map((ref) => ref && plain(ref)));

  async function begin() {
    start.disabled = true;
    const answer = await ask(() => server.comparison_start({ state: store.get(), search: search.checked }));
    start.disabled = false;
    if (!answer) return;
    if (answer.job.id !== job?.id) forget();
    job = answer.job;
    say();
    watch();
  }

  async function cancel() {
    const answer = await ask(() => server.job_cancel({ job: job.id }));
    if (answer) watch();
  }

  // What was compared last, also by an earlier page.
  async function look() {
    if (looked) return watch();
    const answer = await ask(() => server.job_list({ kind: "compare" }));
    if (!answer) return;
    looked = true;
    job ??= answer.jobs[0] ?? null;
    again = job !== null;
    say();
    watch();
  }

  async function watch() {
    if (watching || job === null) return;
    watching = true;
    while (job !== null && shown()) {
      const asked = job.id;
      const answer = await ask(() => server.comparison_rows({ job: asked, after: rows.length }), true);
      if (job?.id !== asked) continue;
      if (answer) await hear(answer);
      if (answer ? !unfinished(job) : !lost) break;
      await new Promise((resolve) => setTimeout(resolve, lost ? LOST_EVERY : LOOK_EVERY));
    }
    watching = false;
  }

  async function hear(answer) {
    job = answer.job;
    head = answer.head ?? head;
    if (again && head) [again, search.checked] = [false, head.search];
    if (head && answer.rows.length) {
      rows = [...rows.slice(0, answer.after), ...answer.rows];
      figure = answer.figure;
      await draw();
    }
    say();
  }

  function forget() {
    [head, rows, figure] = [null, [], null];
    found.hidden = true;
  }

  async function draw() {
    found.hidden = false;
    const measured = rows.filter((row) => row.kind !== "skipped");
    const away = rows.filter((row) => row.kind === "skipped");
    table.show(head, measured);
    skipped.hidden = away.length === 0;
    fill(skipped, h("summary", {}, `${away.length} ${away.length === 1 ? "method does" : "methods do"} not apply`),
      h("ul", {}, away.map((row) => h("li", {}, h("strong", {}, row.title), ` ${row.reason.replace(/^models: /, "")}`))));
    words.textContent = head.search ? `${head.words} Filled: what the search found; hollow: the defaults.` : head.words;
    plot.style.height = `${FRAME + LINE * measured.length}px`;
    tools.show({ figure, numbers: { head, rows }, words: `${head.split}, n ${count(head.n)}` });
    await chart.draw(figure);
    element.dataset.rows = String(rows.length);
  }

  function say() {
    const going = job !== null && unfinished(job);
    stop.hidden = bar.hidden = !going;
    bar.value = job?.share ?? 0;
    says.textContent = going ? (job.state === "queued" ? "waiting for its turn" : job.what || "starting") : ended();
    if (job) element.dataset.state = job.state;
    ours();
  }

  function ended() {
    if (job === null || !job.finished) return "";
    const problems = job.problems.map((problem) => problem.sentence).join(" ");
    if (problems || job.state !== "done") return problems || "Stopped; nothing of it is left.";
    if (job.result.complete) return "";
    return job.result.late ? "Its time was over; these are the rows it had." : "Stopped; these are the rows it had.";
  }

  // What would be compared, and whether the rows are of other models than those in the studio.
  function ours() {
    const { family: name, recipe } = store.get();
    const family = familyNamed(description, name);
    const titles = recipe.models.map((entry) => family.experts.find((one) => plain(one.ref) === plain(entry.ref))?.title ?? entry.ref);
    const differs = head !== null && modelsOf(head.state.recipe) !== modelsOf(recipe);
    about.textContent = `${titles.join(", ")}${recipe.base ? "" : ", without a base"}${differs ? ". The rows below are of other models; press Compare for these." : ""}`;
  }

  function take(recipe) {
    const now = store.get();
    open({ ...(now.family === head.state.family ? now : head.state), recipe });
  }

  let lost = false;
  async function ask(work, quiet = false) {
    try {
      const answer = await work();
      lost = false;
      if (answer.ok) {
        fill(trouble);
        return answer;
      }
      fill(trouble, answer.problems?.map((problem) => h("p", {}, problem.sentence)) ?? []);
    } catch (error) {
      lost = quiet;
      fill(trouble, h("p", {}, `The server does not answer (${error.message}). The comparison goes on without the page.`));
    }
    return null;
  }

  return { tab: { name: "compare", title: "Compare", element, shown: look }, state: ours };
}
