// Uploads: checkpoints and data from this device, and those of the visitor that the server keeps.

import { fill, h } from "./dom.js";
import { bytes, count, date } from "./format.js";
import { send } from "./upload-file.js";

const TAKEN = ".safetensors,.json,.csv,.parquet,.zip";
const WORDS = { checkpoint: "checkpoint", csv: "table", parquet: "table", pictures: "pictures" };
const LARGEST_CONFIG = 1024 * 1024;

export function createUploads(server, { onChange }) {
  if (!server.uploads_list) return { element: null, show() {} };
  const input = h("input", { type: "file", multiple: true, accept: TAKEN, hidden: true, onchange: () => {
    take([...input.files]);
    input.value = "";
  } });
  const pick = h("button", { type: "button", class: "quiet upload-pick", onclick: () => input.click() }, "Choose files…");
  const most = h("span", { class: "hint" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "share of the file that is sent" });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => cancel() }, "Cancel");
  const what = h("span", { class: "hint" });
  const going = h("div", { class: "going upload-going", hidden: true }, bar, stop, what);
  const said = h("div", { class: "upload-said", role: "status" });
  const list = h("ul", { class: "upload-list" });
  const total = h("span", { class: "hint" });
  const element = h("details", { class: "uploads" }, h("summary", {}, "Upload", total),
    h("div", { class: "upload-drop" }, input, pick,
      h("p", { class: "hint" }, "or drop them here: a .safetensors file, best with its config.json, as a checkpoint; a LoRA adapter with its adapter_config.json, or both in a zip; CSV, parquet or a zip of class folders as data. ", most)),
    going, said, list);
  const queue = [];
  let cancel = () => {};
  let busy = false;

  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.open = true;
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    take([...event.dataTransfer.files]);
  });

  async function show() {
    const answer = await asked(() => server.uploads_list({}));
    if (answer) draw(answer);
  }

  function draw(answer) {
    const many = answer.uploads.length;
    total.textContent = many ? `${count(many)} of yours, ${bytes(answer.most.used)}` : "safetensors, CSV, parquet, zip";
    most.textContent = `At most ${bytes(answer.most.file)} a file, ${bytes(answer.most.visitor)} in all.`;
    fill(list, answer.uploads.map(row));
  }

  function row(upload) {
    const until = upload.expires ? `, until ${date(upload.expires)}` : "";
    const about = upload.form === "pictures" ? `${count(upload.files)} in ${count(upload.classes)} classes` : adapterWords(upload.adapter) ?? WORDS[upload.form];
    const bare = upload.form === "checkpoint" && !upload.config ? ", no config.json" : "";
    return h("li", {}, h("span", { class: "upload-name", title: upload.ref }, upload.name),
      h("span", { class: "hint" }, `${about}, ${bytes(upload.bytes)}${bare}${until}`),
      h("button", { type: "button", class: "quiet", "aria-label": `delete upload ${upload.name}`, title: "Delete it, and the tasks that were prepared from it", onclick: () => remove(upload.ref) }, "Delete"));
  }

  async function remove(ref) {
    const answer = await asked(() => server.upload_delete({ ref }));
    if (!answer) return;
    draw(answer);
    say("Deleted.");
    pick.focus();
    onChange();
  }

  // A config.json that is chosen together with checkpoints belongs to them, and adapter_config.json to the adapters among them.
  function take(files) {
    if (!files.length) return;
    element.open = true;
    const configs = files.filter((file) => file.name.endsWith(".json"));
    const rest = files.filter((file) => !file.name.endsWith(".json"));
    if (configs.length && !rest.length) return say("Choose config.json or adapter_config.json together with its .safetensors file.", true);
    const wrong = configs.find((file) => file.size > LARGEST_CONFIG || !file.size);
    if (wrong) return say(`${wrong.name}: a configuration has 1 to ${bytes(LARGEST_CONFIG)}.`, true);
    rest.forEach((file) => queue.push({ file, ...(isData(file) ? { kind: "data" } : { kind: "checkpoint", config: configOf(file, configs) }) }));
    work();
  }

  async function work() {
    if (busy) return;
    busy = true;
    say("");
    for (let next = queue.shift(); next; next = queue.shift()) {
      await one(next);
      await show();
      onChange();
    }
    busy = false;
    going.hidden = true;
  }

  async function one({ file, kind, config = null }) {
    const size = file.size + (config?.size ?? 0);
    going.hidden = false;
    bar.value = 0;
    what.textContent = `${file.name}: looking at its start`;
    const sending = send(file, { kind, config }, (done) => {
      bar.value = size ? done / size : 1;
      what.textContent = done < size ? `${file.name}: ${bytes(done)} of ${bytes(size)}` : `${file.name}: sent, being checked`;
    });
    cancel = () => {
      queue.length = 0;
      sending.cancel();
    };
    const answer = await asked(() => sending.answer);
    cancel = () => {};
    if (answer) say(told(answer.upload));
  }

  async function asked(ask) {
    try {
      const answer = await ask();
      if (answer?.ok) return answer;
      if (answer === null) say("Cancelled; nothing of the file is kept.");
      else answer.problems.forEach((problem) => say(problem.sentence, true));
    } catch (error) {
      say(`The server does not answer (${error.message}). Nothing of the file is kept; try again in a moment.`, true);
    }
    return null;
  }

  function say(sentence, trouble = false) {
    if (sentence) said.append(h("p", { class: trouble ? "trouble" : "hint" }, sentence));
    else fill(said);
    said.scrollTop = said.scrollHeight;
  }

  return { element, show };
}

// What stands beside an upload's name: the first digits of its address.
export function shortRef(ref) {
  return ref.replace(/^(upload:[0-9a-f]{8}).*/, "$1");
}

// What a LoRA adapter is, in a line; null for a whole model.
export function adapterWords(adapter) {
  if (!adapter) return null;
  const [low, high] = adapter.ranks;
  const rank = high ? `rank ${low === high ? low : `${low} to ${high}`}` : "no factors";
  return `LoRA adapter, ${rank}: ${[...adapter.targets, ...(adapter.more ? [`${adapter.more} more`] : [])].join(", ")}`;
}

function configOf(file, configs) {
  const adapts = (one) => one.name.startsWith("adapter");
  return configs.find((one) => adapts(one) === adapts(file)) ?? configs[0] ?? null;
}

function isData(file) {
  return /\.(csv|parquet|zip)$/i.test(file.name);
}

function told(upload) {
  if (upload.adapter) return `${upload.name}: ${adapterWords(upload.adapter)}; it stands under “Your uploads” and is added to the base that you choose.`;
  if (upload.form !== "checkpoint") return `${upload.name} is kept as data for tasks.`;
  const found = `${upload.name}: ${count(upload.parameters)} parameters in ${count(upload.leaves)} leaves; it stands under “Your uploads”.`;
  return upload.config ? found : `${found} Without its config.json it merges and exports, but no task can be measured.`;
}
