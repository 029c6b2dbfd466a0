// The live loop: only the newest state is asked for; what is drawn is never older than what was drawn.
//
// preview → path and layers → settle → the rest of the path. While a slider moves, previews run one at a time, each for the
// newest state; what comes after the preview waits until the state rests, or the path has fallen behind for a while.

const PATH_PATIENCE = 350;
const HEAD_START = 8;

export function createLoop(ask, { onAnswer, onBusy, onLost }) {
  const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let state = null;
  let seq = 0;
  let previewing = false;
  let lastPath = 0;
  let retry = null;
  let losses = 0;
  const drawn = { preview: 0, path: 0, layers: 0, settle: 0 };

  // The answer that is to be drawn, or null: superseded, older than what is drawn, or lost.
  async function want(kind, more = {}) {
    const mine = seq;
    try {
      const answer = await ask({ page, seq: mine, state, want: kind, ...more });
      losses = 0;
      return answer.superseded || mine < drawn[kind] ? null : { kind, answer, mine };
    } catch (error) {
      losses += 1;
      onLost(error, losses);
      clearTimeout(retry);
      retry = setTimeout(pump, Math.min(8000, 500 * 2 ** losses));
      return null;
    }
  }

  async function draw(found) {
    if (!found || found.mine < drawn[found.kind]) return null;
    drawn[found.kind] = found.mine;
    await onAnswer(found.kind, found.answer, found.mine === seq);
    return found.answer.ok ? found.answer : null;
  }

  async function pump() {
    if (previewing || state === null) return;
    previewing = true;
    onBusy(true);
    const mine = seq;
    const answer = await draw(await want("preview"));
    previewing = false;
    if (mine !== seq) {
      if (answer && performance.now() - lastPath > PATH_PATIENCE) followUp(mine, false);
      pump();
    } else if (answer) followUp(mine, true);
    else onBusy(false);
  }

  // All is asked before anything is drawn: server and page work at the same time, and the server never waits for the page.
  // Requests may overtake each other on their way; the last one starts a little later, since it takes the longest.
  async function followUp(mine, rest) {
    lastPath = performance.now();
    const [first, second] = [want("path"), want("layers")];
    const settle = rest ? pause(HEAD_START).then(() => (mine === seq ? want("settle") : null)) : null;
    const [path, layers] = await Promise.all([first, second]);
    let shown = await draw(path);
    await draw(layers);
    if (settle === null) return;
    await draw(await settle);
    while (shown && !shown.numbers.complete && mine === seq) shown = await draw(await want("path", { fine: true }));
    if (mine === seq) onBusy(false);
  }

  function push(next) {
    state = next;
    seq += 1;
    pump();
    return seq;
  }

  return { push, again: () => push(state) };
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}
