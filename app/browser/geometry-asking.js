// Asks the server for one study until nothing is left to find. A newer question goes out at once: the server lets go of the older
// one, whose answer nobody hears.

const GAP = 80;
const AGAIN_EVERY = 300;
const LOST_EVERY = 2000;

// `heard(answer)` gives whether to ask the same again; `lost(error)` hears that the server does not answer. `wanted()`: whether anybody looks.
export function createAsking(look, { heard, refused, lost, wanted }) {
  const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let seq = 0;
  let sent = -Infinity;
  let timer = null;

  function later(milliseconds, message) {
    clearTimeout(timer);
    timer = setTimeout(() => send(message), milliseconds);
  }

  async function send(message) {
    if (!wanted()) return;
    seq += 1;
    const mine = seq;
    sent = performance.now();
    let answer;
    try {
      answer = await look({ ...message, page, seq: mine });
    } catch (error) {
      if (mine !== seq) return;
      lost(error);
      later(LOST_EVERY, message);
      return;
    }
    if (mine !== seq) return;
    if (answer.superseded) later(AGAIN_EVERY, message);
    else if (!answer.ok) refused(answer);
    else if ((await heard(answer)) && mine === seq) send(message);
  }

  function ask(message) {
    seq += 1;
    later(Math.max(0, sent + GAP - performance.now()), message);
  }

  function stop() {
    seq += 1;
    clearTimeout(timer);
  }

  return { ask, stop };
}
