// A link that carries the whole state; shown in full, copied when the browser allows it.

import { freshId, h } from "./dom.js";
import { attempt } from "./server.js";

export function createShare(ask, store, notice) {
  const id = freshId("share");
  const field = h("input", { type: "text", readonly: true, "aria-label": "link to this merge", onfocus: () => field.select() });
  const said = h("span", { class: "hint", role: "status" });
  const panel = h("div", { id, class: "explainer share-panel", popover: "auto" }, h("strong", {}, "Link to this merge"), field, said,
    h("p", { class: "source" }, "It carries the recipe itself and opens in any Basin with the same zoo."));
  const button = h("button", { type: "button", class: "quiet", "data-act": "share", onclick: share }, "Share");

  async function share() {
    const answer = await attempt(notice, () => ask({ state: store.get() }));
    if (!answer) return;
    const url = new URL(window.location.href);
    url.search = answer.query;
    url.hash = "";
    field.value = url.href;
    window.history.replaceState(null, "", url);
    panel.showPopover();
    const box = button.getBoundingClientRect();
    panel.style.left = `${Math.max(8, box.right - panel.offsetWidth)}px`;
    panel.style.top = `${box.bottom + 6}px`;
    field.focus();
    try {
      await navigator.clipboard.writeText(url.href);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Press Ctrl+C to copy.";
    }
  }

  return { button, panel };
}
