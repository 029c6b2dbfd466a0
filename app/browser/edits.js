// Structural changes, whose defaults the server knows: one after the other, each to the newest state. A change is an object, or a
// function that makes it of the state that it will change. A method that takes fewer models, or more, is tried without losing any:
// the next method is given those that were there before.

import { attempt } from "./server.js";

export function createEdits(ask, store, notice, { onRefused, onWorking }) {
  let last = Promise.resolve();
  let waiting = 0;
  let former = { models: null, after: null };

  const listed = (state) => JSON.stringify(state.recipe.models);

  // The models that the next method is given.
  function formerly(state) {
    return former.after === listed(state) ? former.models : state.recipe.models;
  }

  // The change with what the server cannot know of it, and what is remembered once it was made.
  function prepared(change, state) {
    if (change.kind !== "method") return [change, () => {}];
    const models = formerly(state);
    return [{ ...change, models }, (made) => (former = { models, after: listed(made) })];
  }

  // A slider may move while the server works: then the change is asked for again, so that neither is lost.
  async function apply(change) {
    for (;;) {
      const sent = store.get();
      const [made, remember] = prepared(typeof change === "function" ? change(sent) : change, sent);
      const answer = await attempt(notice, () => ask({ state: sent, change: made }));
      if (!answer) return onRefused();
      if (store.get() !== sent) continue;
      remember(answer.state);
      return store.commit(answer.state, { cause: made.kind });
    }
  }

  function edit(change) {
    waiting += 1;
    onWorking(true);
    last = last.then(() => apply(change)).finally(() => {
      waiting -= 1;
      onWorking(waiting > 0);
    });
    return last;
  }

  return { edit, formerly };
}
