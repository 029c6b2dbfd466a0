// What the visitor is looking at, with undo and redo. A state is never changed, only replaced.

const LIMIT = 200;

export function createStore(initial) {
  let state = initial;
  let past = [];
  let future = [];
  let gesture = null;
  const listeners = new Set();

  const tell = (cause) => listeners.forEach((listener) => listener(state, cause));

  // `group` names a gesture: all its steps are undone together.
  function commit(next, { group = null, cause = "edit" } = {}) {
    if (JSON.stringify(next) === JSON.stringify(state)) return;
    if (group === null || group !== gesture) {
      past = [...past, state].slice(-LIMIT);
      future = [];
    }
    gesture = group;
    state = next;
    tell(cause);
  }

  // Shows a state also where it is the present one: what it lacked may have come meanwhile.
  function open(next) {
    if (JSON.stringify(next) === JSON.stringify(state)) tell("open");
    else commit(next);
  }

  function undo() {
    if (past.length === 0) return;
    future = [state, ...future];
    state = past.at(-1);
    past = past.slice(0, -1);
    gesture = null;
    tell("undo");
  }

  function redo() {
    if (future.length === 0) return;
    past = [...past, state];
    [state, ...future] = future;
    gesture = null;
    tell("redo");
  }

  return {
    get: () => state,
    commit,
    open,
    undo,
    redo,
    endGesture: () => (gesture = null),
    canUndo: () => past.length > 0,
    canRedo: () => future.length > 0,
    subscribe: (listener) => listeners.add(listener),
  };
}

// A copy of `state` in which the value at `path` (["recipe", "lambda"]) is another; undefined removes the key.
export function replaced(state, path, value) {
  if (path.length === 0) return value;
  const [key, ...rest] = path;
  if (Array.isArray(state)) return state.map((item, i) => (i === key ? replaced(item, rest, value) : item));
  const copy = { ...state };
  if (rest.length === 0 && value === undefined) delete copy[key];
  else copy[key] = replaced(state?.[key] ?? {}, rest, value);
  return copy;
}
