// Structural changes, whose defaults the server knows: one after the other, each to the newest state. A change is an object, or a
// function that makes it of the state that it will change.

import { attempt } from "./server.js";

export function createEdits(ask, store, notice, { onRefused, onWorking }) {
  let last = Promise.resolve();
  let waiting = 0;

  // A slider may move while the server works: then the change is asked for again, so that neither is lost.
  async function apply(change) {
    for (;;) {
      const sent = store.get();
      const made = typeof change === "function" ? change(sent) : change;
      const answer = await attempt(notice, () => ask({ state: sent, change: made }));
      if (!answer) return onRefused();
      if (store.get() === sent) return store.commit(answer.state, { cause: made.kind });
    }
  }

  return function edit(change) {
    waiting += 1;
    onWorking(true);
    last = last.then(() => apply(change)).finally(() => {
      waiting -= 1;
      onWorking(waiting > 0);
    });
    return last;
  };
}
