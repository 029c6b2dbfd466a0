// Families by name: those of the server, and those that a visitor put together, whose names say what they hold.

const OWN = "own:";
const LONG = 14;
const known = new WeakMap();

export function familyNamed(description, name) {
  const found = description.families.find((one) => one.name === name);
  if (found || !name?.startsWith(OWN)) return found;
  if (!known.has(description)) known.set(description, new Map());
  const own = known.get(description);
  if (!own.has(name)) own.set(name, ownFamily(description, name));
  return own.get(name);
}

export function isOwn(name) {
  return name.startsWith(OWN);
}

// Whether two names mean the same models, tasks included, in whatever order they stand.
export function sameChoice(a, b) {
  return a === b || (isOwn(a) && isOwn(b) && holdings(a) === holdings(b));
}

function holdings(name) {
  const { base, experts, tasks } = JSON.parse(name.slice(OWN.length));
  return JSON.stringify([base, [...experts].sort(), [...tasks].sort()]);
}

function ownFamily(description, name) {
  const { base, experts, tasks, specs } = JSON.parse(name.slice(OWN.length));
  for (const task of tasks.filter((name) => specs?.[name])) {
    const spec = specs[task];
    if (!description.tasks.some((one) => one.name === task)) description.tasks.push({ name: task, title: titleOfSpec(spec), spec, prepared: null, classes: [], splits: {}, channels: 0, description: "" });
  }
  const others = description.families.flatMap((family) => family.experts);
  const names = shortNames(experts.map(([ref]) => ref));
  return {
    name, title: "Your models", description: "", base, tasks, specs,
    experts: experts.map(([ref, task], place) => {
      const other = others.find((one) => plain(one.ref) === plain(ref));
      return { ref, task, colour: place, title: other?.title ?? names[place].replaceAll("-", " "), description: other?.description ?? "" };
    }),
  };
}

// What tells a checkpoint from others: another commit of the Hub is another one.
export function plain(ref) {
  return ref.startsWith("hub:") ? ref : ref.split("@")[0];
}

// What a task of a visitor's own is called; the server calls it the same.
export function titleOfSpec(spec) {
  const last = spec.source.split("@")[0].split(/[:/]/).at(-1);
  return spec.config ? `${last} ${spec.config}` : last;
}

export function shortName(ref) {
  return ref.split(/[@#]/)[0].split(":").at(-1).split("/").at(-1);
}

// What checkpoints are called beside each other: where that is long, without what all of them begin with. The server does the same.
export function shortNames(refs) {
  const names = refs.map(shortName);
  const [first] = names;
  let same = 0;
  while (same < (first ?? "").length && names.every((name) => name[same] === first[same])) same += 1;
  const cut = (first ?? "").slice(0, same).match(/^.*[-_.]/)?.[0].length ?? 0;
  const keeps = names.length < 2 || Math.max(...names.map((name) => name.length)) <= LONG || names.some((name) => name.length <= cut);
  return keeps ? names : names.map((name) => name.slice(cut));
}

// The colour of a model wherever it stands beside others.
export function toneOf({ kind, colour }) {
  return kind === "merge" ? "var(--merge)" : colour === null ? "var(--base)" : `var(--expert-${colour % 8})`;
}
