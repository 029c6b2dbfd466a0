// Two links: one carries the whole state; the other leads to the stored result too. Shown in full, copied when the browser allows it.

import { freshId, h } from "./dom.js";
import { attempt } from "./server.js";

export function createShare(server, store, notice) {
  const id = freshId("share");
  const plain = linkField("link to this merge");
  const stored = linkField("link to this result");
  const make = h("button", { type: "button", class: "quiet", onclick: shareResult }, "Make a link with the result");
  const panel = h("div", { id, class: "explainer share-panel", popover: "auto" },
    h("strong", {}, "Link to this merge"), plain.row,
    h("p", { class: "source" }, "It carries the recipe itself and opens in any Basin with the same zoo."),
    h("strong", {}, "Link to this result"), make, stored.row,
    h("p", { class: "source" }, "It shows the numbers and charts at once, as measured here, with a picture where links are previewed. Whoever has it sees this result and nothing else of yours; it is saved in your library, where you can stop sharing it."));
  const button = h("button", { type: "button", class: "quiet", "data-act": "share", onclick: share }, "Share");
  let shared = null;

  const address = (query) => {
    const url = new URL(window.location.href);
    url.search = query;
    url.hash = "";
    return url.href;
  };

  async function share() {
    const answer = await attempt(notice, () => server.share({ state: store.get() }));
    if (!answer) return;
    const same = shared === store.get();
    make.hidden = same;
    stored.row.hidden = !same;
    window.history.replaceState(null, "", address(answer.query));
    panel.showPopover();
    const box = button.getBoundingClientRect();
    panel.style.left = `${Math.max(8, box.right - panel.offsetWidth)}px`;
    panel.style.top = `${box.bottom + 6}px`;
    await plain.show(address(answer.query));
  }

  async function shareResult() {
    const state = store.get();
    make.disabled = true;
    const answer = await attempt(notice, () => server.share_result({ state }));
    make.disabled = false;
    if (!answer) return;
    shared = state;
    make.hidden = true;
    stored.row.hidden = false;
    await stored.show(address(answer.query));
  }

  return { button, panel };
}

function linkField(label) {
  const field = h("input", { type: "text", readonly: true, "aria-label": label, onfocus: () => field.select() });
  const said = h("span", { class: "hint", role: "status" });

  async function show(href) {
    field.value = href;
    field.focus();
    try {
      await navigator.clipboard.writeText(href);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Press Ctrl+C to copy.";
    }
  }

  return { row: h("div", {}, field, said), show };
}
