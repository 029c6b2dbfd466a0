// The server's functions as the page uses them: an answer, or an exception. Gradio's client gives nothing at all when the connection is lost.

export function reliable(server, names) {
  return Object.fromEntries(names.map((name) => [name, async (message) => {
    const answer = await server[name](message);
    if (typeof answer?.ok !== "boolean") throw new Error("no connection");
    return answer;
  }]));
}

// The answer, or null after a message: for what a visitor asked for once and may ask for again. Why it was refused stays to be
// read until the visitor goes on, whatever else is answered meanwhile.
export async function attempt(notice, ask) {
  try {
    const answer = await ask();
    if (answer.ok) return answer;
    notice.problems(answer, true);
  } catch (error) {
    notice.show([`The server does not answer (${error.message}). Nothing is lost; try again in a moment.`]);
  }
  return null;
}
