// What a card asks of the server: the answer, or sentences in its place, with a way to sign in to the Hub where that would help.

import { signInLink } from "./account.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";

const SHOWN = 3;

export function createSentences(place) {
  let hub = {};

  function say(sentence) {
    fill(place, sentence && h("p", { class: "hint" }, sentence));
  }

  // Null where it was refused, after saying why; an answer that nobody waits for any more says nothing.
  async function attempt(ask, wanted = () => true) {
    let problems;
    try {
      const answer = await ask();
      if (answer.ok || answer.superseded || !wanted()) return answer.ok ? answer : null;
      ({ problems } = answer);
    } catch (error) {
      problems = [{ sentence: `The server does not answer (${error.message}). Nothing is lost; try again in a moment.` }];
    }
    if (wanted()) show(problems);
    return null;
  }

  function show(problems) {
    const more = problems.length - SHOWN;
    fill(place, problems.slice(0, SHOWN).map((problem) => h("p", { class: "trouble" }, problem.sentence, signIn(problem))),
      more > 0 ? h("p", { class: "hint" }, `and ${count(more)} more of this kind`) : null);
  }

  function signIn(problem) {
    if (hub.account || !hub.sign_in || !/\bsign in\b/.test(problem.fix ?? "")) return null;
    return [" ", signInLink(hub.sign_in)];
  }

  return { set: (found) => { hub = found; }, say, show, attempt };
}
