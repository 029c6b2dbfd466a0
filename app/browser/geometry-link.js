// The link to a figure: the address of the page follows what is looked at, and a button copies it.

import { freshId, h } from "./dom.js";

export function createGeometryLink(server, wanted) {
  const field = h("input", { type: "text", readonly: true, "aria-label": "link to this figure", onfocus: () => field.select() });
  const said = h("p", { class: "source", role: "status" });
  const panel = h("div", { id: freshId("link"), class: "explainer share-panel", popover: "auto", role: "region", "aria-label": "Link to this figure" },
    h("strong", {}, "Link to this figure"), field, said, h("p", { class: "source" }, "It carries the question, the models and the studio’s merge, and opens in any Basin with the same models."));
  const button = h("button", { type: "button", class: "quiet", title: "the address of this very figure", onclick: give }, "Link");
  const element = h("span", {}, button, panel);

  async function give() {
    try {
      const answer = await server.geometry_share(wanted());
      if (!answer.ok) return tell("", answer.problems.map((problem) => problem.sentence).join(" "));
      remember(answer.query);
      const href = window.location.href;
      tell(href, "Press Ctrl+C to copy.");
      field.focus();
      await navigator.clipboard.writeText(href);
      said.textContent = "Copied.";
    } catch (error) {
      if (!field.value) tell("", `The server does not answer (${error.message}).`);
    }
  }

  function tell(href, words) {
    field.value = href;
    said.textContent = words;
    panel.showPopover();
    const box = button.getBoundingClientRect();
    panel.style.left = `${Math.max(8, Math.min(box.right - panel.offsetWidth, window.innerWidth - panel.offsetWidth - 8))}px`;
    panel.style.top = `${box.bottom + 6}px`;
  }

  // What is looked at is in the address, so that a reload keeps it; a study that is too long for one stays out of it.
  async function follow(wished) {
    const answer = await server.geometry_share(wanted()).catch(() => null);
    if (answer?.ok && wished()) remember(answer.query);
  }

  return { element, follow };
}

function remember(query) {
  const url = new URL(window.location.href);
  url.search = query;
  url.hash = "#geometry";
  window.history.replaceState(null, "", url);
}
