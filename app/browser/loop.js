// The live loop: only the newest state is asked for; what was drawn is never older than what is drawn.
//
// preview → path and layers → settle → the fine path. While a slider moves, previews run one at a time, each for the newest state;
// everything after the preview waits until the state rests (or the path has fallen behind for a while).

const PATH_PATIENCE = 350;

export function createLoop(ask, { onAnswer, onBusy, onLost }) {
  const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let state = null;
  let seq = 0;
  let previewing = false;
  let lastPath = 0;
  const drawn = { preview: 0, path: 0, layers: 0, settle: 0 };
  const failures = { count: 0, timer: null };

  async function want(kind, more = {}) {
    const mine = seq;
    let answer;
    try {
      answer = await ask({ page, seq: mine, state, want: kind, ...more });
      failures.count = 0;
    } catch (error) {
      lost(error);
      return null;
    }
    if (answer?.superseded) return null;
    if (mine < drawn[kind]) return null;
    drawn[kind] = mine;
    onAnswer(kind, answer, mine === seq);
    return answer?.ok ? answer : null;
  }

  function lost(error) {
    failures.count += 1;
    onLost(error, failures.count);
    clearTimeout(failures.timer);
    failures.timer = setTimeout(pump, Math.min(8000, 500 * 2 ** failures.count));
  }

  async function pump() {
    if (previewing || state === null) return;
    previewing = true;
    onBusy(true);
    const mine = seq;
    const answer = await want("preview");
    previewing = false;
    if (mine !== seq) {
      if (performance.now() - lastPath > PATH_PATIENCE) followUp(mine, false);
      pump();
      return;
    }
    if (answer) followUp(mine, true);
    else onBusy(false);
  }

  // Everything after the preview is asked at once and answered in this order; the charts are drawn while the server goes on.
  async function followUp(mine, rest) {
    lastPath = performance.now();
    const coarse = want("path");
    const others = [want("layers"), ...(rest ? [want("settle")] : [])];
    let path = await coarse;
    await Promise.all(others);
    if (!rest) return;
    while (path && !path.numbers.complete && mine === seq) path = await want("path", { fine: true });
    if (mine === seq) onBusy(false);
  }

  function push(next) {
    state = next;
    seq += 1;
    pump();
    return seq;
  }

  return { push, page, again: () => push(state) };
}
