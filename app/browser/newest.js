// One question at a time: the newest that came meanwhile is asked next, everything between is dropped.

export function createNewest(ask, draw) {
  const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let seq = 0;
  let waiting = null;
  let busy = false;

  async function pump() {
    if (busy || waiting === null) return;
    busy = true;
    const message = waiting;
    waiting = null;
    seq += 1;
    let answer;
    try {
      answer = await ask({ ...message, page, seq });
    } catch (error) {
      answer = { ok: false, problems: [{ sentence: `The server does not answer (${error.message}). What you see is its last answer.` }] };
    }
    busy = false;
    if (!answer.superseded) await draw(answer, waiting === null, message);
    pump();
  }

  return (message) => {
    waiting = message;
    pump();
  };
}

// Calls back when an element comes into view; what lies below the screen asks nothing.
export function createInView(element, onShown) {
  let shown = false;
  new IntersectionObserver((entries) => {
    shown = entries.at(-1).isIntersecting;
    if (shown) onShown();
  }).observe(element);
  return () => shown;
}
