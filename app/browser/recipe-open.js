// A recipe of one's own: pasted or dropped as text, ours or mergekit's; the server reads it and says what is wrong, with lines.

import { fill, freshId, h } from "./dom.js";

const LARGEST = 65536;

export function createRecipeOpen({ server, notice, open }) {
  const id = freshId("recipe");
  const text = h("textarea", { id, rows: "6", spellcheck: "false", placeholder: "merge_method: ties\nbase_model: owner/name\n…", oninput: () => fill(said) });
  const said = h("div", { class: "recipe-said", role: "alert" });
  const go = h("button", { type: "button", class: "quiet", onclick: read }, "Open recipe");
  const element = h("details", { class: "recipe-open", ondragover: (event) => event.preventDefault(), ondrop: drop },
    h("summary", {}, "A recipe of your own"),
    h("label", { for: id, class: "hint" }, "Paste or drop YAML or JSON: a recipe of Basin, or one of mergekit with models of the Hub."), text, go, said);

  async function drop(event) {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    element.open = true;
    if (file.size > LARGEST) return told([`A recipe has at most ${LARGEST} bytes; ${file.name} has more.`]);
    text.value = await file.text();
    await read();
  }

  async function read() {
    go.disabled = true;
    try {
      const answer = await server.open_recipe({ text: text.value });
      if (!answer.ok) return told(answer.problems.map((problem) => problem.sentence));
      fill(said);
      open(answer.state);
      if (answer.notes.length) notice.show(answer.notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`), "done", true);
    } catch (error) {
      told([`The server does not answer (${error.message}). Try again in a moment.`]);
    } finally {
      go.disabled = false;
    }
  }

  function told(sentences) {
    fill(said, sentences.map((sentence) => h("p", {}, sentence)));
  }

  return element;
}
