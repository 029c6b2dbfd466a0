// What was learned elsewhere, by the command line or on another server: recipe.json with recipe.tensors, brought to this one.

import { fill, h } from "./dom.js";
import { send } from "./upload-file.js";

const LARGEST_RECIPE = 256 * 1024;

export function createLearnBring(server, { take }) {
  const input = h("input", { type: "file", multiple: true, hidden: true, onchange: () => {
    bring([...input.files]);
    input.value = "";
  } });
  const pick = h("button", { type: "button", class: "quiet", onclick: () => input.click() }, "Choose files…");
  const said = h("div", { role: "status" });
  const element = h("details", { class: "panel learn-bring" }, h("summary", {}, "Bring what was learned elsewhere"),
    h("p", { class: "hint" }, "recipe.json with recipe.tensors, or with the files of what was measured, as learn and this page give them. The recipe then opens in the studio."), input, pick, said);

  async function bring(files) {
    const recipe = files.find((file) => file.name.endsWith(".json")) ?? null;
    const tensors = files.filter((file) => file !== recipe);
    fill(said);
    if (recipe && recipe.size > LARGEST_RECIPE) return say(`A recipe has at most ${LARGEST_RECIPE} bytes; ${recipe.name} has more.`);
    pick.disabled = true;
    try {
      for (const file of tensors) if (!await one(file)) return;
      if (recipe === null) return say("They are here. Choose recipe.json too, or paste it under Examples.");
      const answer = await asked(() => recipe.text().then((text) => server.open_recipe({ text })));
      if (answer) take(answer.state);
    } finally {
      pick.disabled = false;
    }
  }

  async function one(file) {
    const sent = await asked(() => send(file, { kind: "checkpoint" }, () => {}).answer);
    return sent && asked(() => server.learn_bring({ upload: sent.upload.ref }));
  }

  async function asked(ask) {
    try {
      const answer = await ask();
      if (answer.ok) return answer;
      answer.problems.forEach((problem) => say(problem.sentence));
    } catch (error) {
      say(`The server does not answer (${error.message}). Try again in a moment.`);
    }
    return null;
  }

  function say(sentence) {
    said.append(h("p", { class: "hint" }, sentence));
  }

  return element;
}
