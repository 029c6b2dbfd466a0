// Export: what would be written, a job that writes it, its files, and the recipe in every form. The job belongs to the
// server: it goes on when the card, or the page, is closed.

import { fill, h } from "./dom.js";
import { createJobs } from "./export-jobs.js";
import { createForms } from "./export-forms.js";
import { createPlanTable } from "./export-plan.js";
import { createPopover } from "./popover.js";

const SIZES = [["", "one file"], ["5000000000", "5 GB"], ["2000000000", "2 GB"], ["500000000", "500 MB"], ["50000000", "50 MB"], ["1000000", "1 MB"]];
const REST = 300;

export function createExport({ server, store, wayOut }) {
  const plan = createPlanTable();
  const said = h("div", { class: "export-said", role: "alert" });
  const size = h("select", { id: "basin-export-size", onchange: () => look() }, SIZES.map(([value, title]) => h("option", { value }, title)));
  const start = h("button", { type: "button", class: "primary", onclick: begin }, "Start export");
  const forms = createForms();
  const jobs = createJobs(server, { onChange: label, onTrouble: trouble });
  const { button, panel, element } = createPopover({
    title: "Export", className: "export-panel", act: "export", says: "Write this merge as a complete checkpoint folder",
    onOpen: () => { look(); jobs.list(); },
  }, plan.element,
  h("div", { class: "export-start" }, h("label", { for: "basin-export-size" }, "files of at most"), size, start), said, jobs.element,
  h("section", { "aria-label": "Recipe" }, h("h3", {}, "The recipe, ready to run"),
    h("p", { class: "hint" }, "In the folder where Basin lies, with its Python. YAML and JSON are files for python -m merging_core merge."), forms.element));
  let asked = 0;
  let waiting = null;
  let busy = false;

  const message = () => ({ state: store.get(), shard_bytes: size.value ? Number(size.value) : null });

  // The newest plan counts; a plan of an older state is not shown, also where the newest state has none.
  async function look() {
    const turn = ++asked;
    const answer = await ask(() => server.export_plan(message()));
    if (turn !== asked) return;
    if (!answer) {
      start.disabled = true;
      plan.clear();
      return forms.show({});
    }
    fill(said);
    const { plan: found } = answer;
    start.disabled = found.problems.length > 0;
    start.textContent = found.begun ? `Continue at ${Math.floor(100 * found.begun)} %` : "Start export";
    plan.show(found, wayOut(found.problems));
    forms.show(found.forms);
  }

  async function begin() {
    start.disabled = true;
    const answer = await ask(() => server.export_start(message()));
    start.disabled = false;
    if (!answer) return;
    fill(said);
    await jobs.list();
    jobs.follow(answer.job);
  }

  async function ask(work) {
    try {
      const answer = await work();
      if (answer.ok) return answer;
      trouble(answer.problems.map((problem) => problem.sentence));
    } catch (error) {
      trouble([`The server does not answer (${error.message}). Try again in a moment.`]);
    }
    return null;
  }

  function trouble(sentences) {
    fill(said, sentences.map((sentence) => h("p", {}, sentence)));
  }

  // A job that begins or ends changes what there is to go on with.
  function label(running) {
    if (busy !== Boolean(running)) state();
    busy = Boolean(running);
    button.classList.toggle("exporting", Boolean(running));
    button.style.setProperty("--share", `${100 * (running?.share ?? 0)}%`);
  }

  function state() {
    if (!panel.matches(":popover-open")) return;
    clearTimeout(waiting);
    waiting = setTimeout(look, REST);
  }

  return { button: element, state };
}
