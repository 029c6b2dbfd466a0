// The names of the leaves that are merged, asked once for each base and experts.

export function createLeafNames(server, store) {
  let [key, found] = [null, null];

  return () => {
    const state = store.get();
    const now = JSON.stringify([state.recipe.base, state.recipe.models.map((model) => model.ref)]);
    if (key !== now) {
      key = now;
      found = ask(state);
    }
    return found;
  };

  async function ask(state) {
    const answer = await server.leaf_names?.({ state }).catch(() => null);
    if (answer?.ok) return answer;
    key = null;
    return { names: [], blocks: 0 };
  }
}
