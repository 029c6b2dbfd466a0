// What the page knows of tasks: those of the server's families from the start, a visitor's own once the server was asked.

export function learn(description, tasks) {
  for (const task of tasks) {
    const known = description.tasks.find((one) => one.name === task.name);
    if (known) Object.assign(known, { gone: false, ...task });
    else description.tasks.push({ classes: [], splits: {}, channels: 0, description: "", ...task });
  }
}

// A link says only what its tasks are made of; true where more became known.
export async function learnOf(server, description, family) {
  const unknown = description.tasks.some((task) => family.tasks.includes(task.name) && task.spec && task.prepared !== false && !task.classes.length);
  if (!unknown || !server.tasks_list) return false;
  const answer = await server.tasks_list({ family: family.name }).catch(() => null);
  if (!answer?.ok) return false;
  learn(description, answer.tasks);
  return true;
}
