// Messages without a dialog: what went wrong, in sentences; everything else stays as it was.

import { fill, h } from "./dom.js";

// `wayOut(problems)` gives [label, act] where the page itself has what they ask for, else nothing.
export function createNotice(wayOut = () => null) {
  const list = h("div", { class: "sentences" });
  const close = h("button", { type: "button", class: "quiet", "aria-label": "dismiss", onclick: () => clear() }, "✕");
  const element = h("div", { class: "notice", role: "alert", hidden: true }, list, close);

  // A lasting message stays until the visitor closes it or goes on; the others go with the next good answer.
  let lasting = false;

  function show(sentences, kind = "warning", stays = false) {
    lasting = stays;
    element.className = `notice ${kind}`;
    element.hidden = false;
    fill(list, sentences.slice(0, 6).map((sentence) => h("p", {}, sentence)), sentences.length > 6 ? h("p", {}, `and ${sentences.length - 6} more.`) : null);
  }

  function problems(answer, stays = false) {
    show(answer.problems.map((problem) => problem.sentence), "error", stays);
    const way = wayOut(answer.problems);
    if (way) onward(...way);
  }

  // What was done, with a way back or onward; it stays until the visitor closes it or goes on.
  function offer(sentence, label, act) {
    show([sentence], "done", true);
    onward(label, act);
  }

  function onward(label, act) {
    list.append(h("button", { type: "button", class: "quiet offered", onclick: () => { clear(); act(); } }, label));
  }

  function clear() {
    element.hidden = true;
    fill(list);
  }

  return { element, show, clear, settle: () => { if (!lasting) clear(); }, problems, offer };
}
