// A card that opens from a button in the top line: closed by Escape or by going on elsewhere, never in the way.

import { freshId, h } from "./dom.js";

export function createPopover({ title, className, act, says, onOpen = () => {} }, ...children) {
  const id = freshId("card");
  const heading = freshId("heading");
  const close = h("button", { type: "button", class: "quiet close", "aria-label": `close ${title}`, onclick: () => panel.hidePopover() }, "✕");
  const panel = h("div", { id, class: `explainer ${className}`, popover: "auto", role: "region", "aria-labelledby": heading },
    h("header", {}, h("h2", { id: heading }, title), close), children);
  const button = h("button", { type: "button", class: "quiet", popovertarget: id, "data-act": act, title: says }, title);
  panel.addEventListener("toggle", (event) => {
    if (event.newState !== "open") return;
    place();
    onOpen();
  });

  // What a card holds may come later, and then the card grows.
  new ResizeObserver(() => { if (panel.matches(":popover-open")) place(); }).observe(panel);

  function place() {
    const box = button.getBoundingClientRect();
    panel.style.left = `${Math.max(8, Math.min(box.right - panel.offsetWidth, window.innerWidth - panel.offsetWidth - 8))}px`;
    panel.style.top = `${Math.max(8, Math.min(box.bottom + 6, window.innerHeight - panel.offsetHeight - 8))}px`;
  }

  return { button, panel, element: h("span", { class: "opener" }, button, panel) };
}
