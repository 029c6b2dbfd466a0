// The live loop: only the newest state is asked for; what is drawn is never older than what its panel shows.
//
// preview → path and layers → settle → the rest of the path. While a slider moves, previews run one at a time, each for the
// newest state; what comes after the preview waits until the state rests, or the path has fallen behind for a while.

const PATH_PATIENCE = 350;
const HEAD_START = 8;
const SLOW = 700;
const PANELS = { preview: "accuracy", settle: "accuracy", path: "path", layers: "layers" };

export function createLoop(ask, { onAnswer, onBusy, onLost, onSlow = () => {} }) {
  const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let state = null;
  let seq = 0;
  let turn = 0;
  let previewing = false;
  let lastPath = 0;
  let retry = null;
  let losses = 0;
  const drawn = { accuracy: 0, path: 0, layers: 0 };

  // An answer, or null where there is none: superseded, or lost; then all is asked again a little later.
  async function want(kind, more = {}) {
    const [mine, here] = [seq, turn];
    try {
      const answer = await ask({ page, seq: mine, state, want: kind, ...more });
      losses = 0;
      return answer.superseded ? null : { kind, answer, mine };
    } catch (error) {
      if (here === turn) again(error);
      return null;
    }
  }

  function again(error) {
    turn += 1;
    losses += 1;
    onBusy(false);
    onLost(error, losses);
    retry = setTimeout(pump, Math.min(8000, 500 * 2 ** losses));
  }

  // Preview and settle share a panel: a merge that has settled is not drawn over the preview of a newer one. A drawing that
  // fails is told to whoever reads the console, and stops nothing.
  async function draw(found) {
    if (!found || found.mine < drawn[PANELS[found.kind]]) return null;
    drawn[PANELS[found.kind]] = found.mine;
    try {
      await onAnswer(found.kind, found.answer, found.mine === seq);
    } catch (error) {
      console.error(error);
    }
    return found.answer.ok ? found.answer : null;
  }

  async function pump() {
    if (previewing || state === null) return;
    clearTimeout(retry);
    previewing = true;
    turn += 1;
    const [mine, here] = [seq, turn];
    onBusy(true);
    const slow = setTimeout(() => onSlow(true), SLOW);
    const answer = await draw(await want("preview"));
    clearTimeout(slow);
    onSlow(false);
    previewing = false;
    if (mine !== seq) {
      if (answer && performance.now() - lastPath > PATH_PATIENCE) followUp(here, false);
      pump();
    } else if (answer) followUp(here, true);
    else if (here === turn) onBusy(false);
  }

  // All is asked before anything is drawn: server and page work at the same time, and the server never waits for the page.
  // Requests may overtake each other on their way; the last one starts a little later, since it takes the longest.
  async function followUp(here, rest) {
    lastPath = performance.now();
    const [first, second] = [want("path"), want("layers")];
    const settle = rest ? pause(HEAD_START).then(() => (here === turn ? want("settle") : null)) : null;
    const [path, layers] = await Promise.all([first, second]);
    let shown = await draw(path);
    await draw(layers);
    if (settle === null) return;
    await draw(await settle);
    while (shown?.numbers && !shown.numbers.complete && here === turn) shown = await draw(await want("path", { fine: true }));
    if (here === turn) onBusy(false);
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
