// Publishing a finished export on the Hub: where to, as what, and under which licence. What would happen is said first; the
// upload is a job of the server, shown with the exports.

import { signInLink } from "./account.js";
import { fill, freshId, h } from "./dom.js";
import { createLeaves } from "./export-plan.js";
import { bytes } from "./format.js";

const REST = 500;
const WAYS = [["new", "a new repository"], ["existing", "one that is there"], ["pull", "a pull request to one that is there"]];
const LICENCES = ["apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "openrail", "other"];

export function createPublish(server, job, { onStarted }) {
  const id = freshId("publish");
  const way = h("select", { id: `${id}-way`, onchange: turn }, WAYS.map(([value, title]) => h("option", { value }, title)));
  const owner = h("select", { id: `${id}-owner`, onchange: belongs });
  const owners = h("label", { for: owner.id, hidden: true }, "owner");
  const repo = h("input", { type: "text", id: `${id}-repo`, class: "publish-repo", maxlength: "200", spellcheck: "false", autocapitalize: "off", autocomplete: "off", placeholder: "owner/name", oninput: soon });
  const secret = h("input", { type: "checkbox", id: `${id}-private`, checked: true, onchange: tell });
  const onlyYou = h("div", { class: "switch-row" }, secret, h("label", { for: secret.id }, "private: seen by you and whom you invite"));
  const there = h("p", { class: "publish-there", role: "status" });
  const parts = h("p", { class: "hint" });
  const licence = h("input", { type: "text", id: `${id}-licence`, list: `${id}-licences`, maxlength: "60", spellcheck: "false", autocomplete: "off", placeholder: "such as apache-2.0", oninput: ready });
  const hindered = h("div", { class: "publish-hindered", hidden: true });
  const said = h("div", { class: "export-said", role: "alert" });
  const start = h("button", { type: "button", class: "primary", onclick: begin, disabled: true }, "Publish");
  const form = h("div", { class: "publish-form" },
    h("label", { for: way.id }, "publish as"), way, owners, owner, h("label", { for: repo.id }, "repository"), repo, onlyYou, there, parts, hindered);
  const refused = h("div", { class: "publish-refused" });
  const leaves = createLeaves();
  leaves.show(job.result.outcomes ?? []);
  const body = h("div", {}, refused, leaves.element, form, said, start);
  const element = h("details", { class: "publish", ontoggle: () => { if (element.open) load(); } }, h("summary", {}, "Publish on the Hugging Face Hub"), body);
  let plan = null;
  let asked = 0;
  let waiting = null;

  // Signing in happens in another tab.
  document.addEventListener("visibilitychange", () => {
    if (element.isConnected && element.open && plan && !plan.may && document.visibilityState === "visible") load();
  });

  async function load() {
    const answer = await ask(() => server.publish_plan({ job: job.id, repo: null }));
    if (!answer) return;
    plan = answer.plan;
    form.hidden = start.hidden = !plan.may;
    fill(refused, await refusal());
    if (!plan.may) return;
    if (!repo.value) repo.value = plan.proposed;
    offerOwners();
    showLicences();
    look();
  }

  // Under whose name: the visitor's own first, then the organisations for which the token may write; whatever is typed stays.
  function offerOwners() {
    owners.hidden = owner.hidden = plan.owners.length < 2;
    fill(owner, plan.owners.map((name) => h("option", { value: name }, name)));
    follow();
  }

  function belongs() {
    const name = repo.value.includes("/") ? repo.value.slice(repo.value.indexOf("/") + 1) : repo.value;
    repo.value = `${owner.value}/${name}`;
    soon();
  }

  function follow() {
    owner.value = repo.value.trim().split("/")[0];
  }

  async function refusal() {
    if (plan.may) return plan.trouble ? h("p", {}, plan.trouble) : null;
    const answer = await server.account({}).catch(() => null);
    const address = answer?.ok ? answer.hub.sign_in : null;
    return [h("p", {}, plan.trouble), address ? signInLink(address) : null];
  }

  function showLicences() {
    const counts = new Map();
    for (const part of plan.parts) counts.set(part.licence ?? "unknown", (counts.get(part.licence ?? "unknown") ?? 0) + 1);
    parts.textContent = `Licences of the parts: ${[...counts].map(([name, times]) => (times > 1 ? `${name} (${times})` : name)).join(", ")}. The card lists them; obey each.`;
    hindered.hidden = !plan.hindrances.length;
    if (!hindered.hidden && !hindered.childElementCount) {
      fill(hindered, plan.hindrances.map((sentence) => h("p", { class: "export-warning" }, sentence)),
        h("label", { for: licence.id }, "publish under the licence"), licence,
        h("datalist", { id: `${id}-licences` }, LICENCES.map((name) => h("option", { value: name }))),
        h("p", { class: "hint" }, "Name one only if the authors of every part allow it; the card then says so in your name."));
    }
    ready();
  }

  function turn() {
    onlyYou.hidden = way.value !== "new";
    tell();
  }

  function soon() {
    clearTimeout(waiting);
    follow();
    there.textContent = "";
    if (plan) plan.destination = null;
    ready();
    waiting = setTimeout(look, REST);
  }

  // The newest question counts.
  async function look() {
    const name = repo.value.trim();
    const mine = ++asked;
    if (!name) return ready();
    there.textContent = "Asking the Hub…";
    const answer = await ask(() => server.publish_plan({ job: job.id, repo: name }));
    if (mine !== asked) return;
    plan.destination = answer?.plan.destination ?? null;
    tell();
  }

  function tell() {
    const found = plan?.destination;
    there.textContent = found ? sentence(found) : "";
    there.classList.toggle("trouble", Boolean(found) && !fits(found));
    ready();
  }

  function sentence({ exists, files, removed, private: hidden }) {
    const many = `${plan.files.length} files, ${bytes(plan.bytes)}`;
    if (way.value === "new") {
      if (!exists) return `It is made, ${secret.checked ? "private" : "for everybody to see"}, with ${many}.`;
      return files ? `It holds ${some(files)} already: choose “one that is there” to change it.` : `It is there and empty; it gets ${many}, and stays ${hidden ? "private" : "as it is"}.`;
    }
    if (!exists) return "There is none of this name that you may see.";
    if (way.value === "pull") return `It is asked to take ${many}; it changes when its owner agrees.`;
    return `It holds ${some(files)} and gets ${many}, in one commit.${removed.length ? ` Taken out: ${removed.join(", ")}.` : ""}`;
  }

  function fits({ exists, files }) {
    return way.value === "new" ? !exists || !files : exists;
  }

  function ready() {
    const found = plan?.destination;
    start.disabled = !repo.value.trim() || (Boolean(found) && !fits(found)) || (!hindered.hidden && !licence.value.trim());
  }

  async function begin() {
    start.disabled = true;
    const answer = await ask(() => server.publish_start({
      job: job.id, repo: repo.value.trim(), private: secret.checked, create: way.value === "new", as_pull_request: way.value === "pull",
      licence: hindered.hidden ? null : licence.value.trim(),
    }));
    ready();
    if (!answer) return;
    element.open = false;
    onStarted(answer.job);
  }

  async function ask(work) {
    try {
      const answer = await work();
      fill(said, answer.ok ? null : answer.problems.map((problem) => h("p", {}, problem.sentence)));
      return answer.ok ? answer : null;
    } catch (error) {
      fill(said, h("p", {}, `The server does not answer (${error.message}). Try again in a moment.`));
      return null;
    }
  }

  return { element };
}

function some(files) {
  return files === 1 ? "one file" : `${files} files`;
}

// Where something was published; the address comes from the Hub, so only one of the web becomes a link.
export function published(job) {
  const { url } = job.result;
  if (job.state !== "done" || !/^https?:\/\//.test(url ?? "")) return null;
  return h("p", { class: "published" }, h("a", { href: url, target: "_blank", rel: "noopener" }, url), h("span", { class: "hint" }, `commit ${job.result.commit.slice(0, 8)}`));
}
