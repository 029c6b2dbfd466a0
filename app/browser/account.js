// Signing in with Hugging Face, where the server offers it: a link, or the account's name with a way out.
//
// The provider's page may not stand in another site's frame, and such a frame may be denied its cookies. So from a frame the
// link opens this very page in a tab of its own, which signs in there at once. What the visitor looks at goes along in this
// tab's storage, since an address that goes through the provider has to be short.

import { fill, h } from "./dom.js";

const AT_ONCE = "#sign-in";
const FAILED = "#not-signed-in";
const KEPT = "basin-before-sign-in";
const framed = window.top !== window.self;

export function createAccount(server, hub, notice) {
  const element = h("span", { class: "account" });
  show(hub);

  function show({ account, sign_in: address }) {
    element.hidden = !address;
    if (!address) return fill(element);
    if (account === null) return fill(element, signInLink(address));
    return fill(element, h("span", { class: "account-name", title: "signed in on Hugging Face" }, account),
      h("a", { class: "quiet", href: there("logout"), onclick: keep }, "Sign out"));
  }

  // Signing in happens in another tab, and a token ends after some hours.
  async function look() {
    if (document.visibilityState !== "visible") return;
    const answer = await server.account({}).catch(() => null);
    if (answer?.ok) show(answer.hub);
  }

  if (hub.sign_in) document.addEventListener("visibilitychange", look);
  if (window.location.hash === FAILED) {
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    notice.show(["You are not signed in: Hugging Face did not say who you are, or you declined. Everything else works as before."], "warning", true);
  }
  return { element };
}

export function signInLink(address) {
  const link = h("a", { class: "quiet", "data-act": "sign-in", title: "with your account on Hugging Face: for models that only you may see, and to publish", href: there(address) }, "Sign in");
  if (framed) {
    link.target = "_blank";
    link.addEventListener("click", () => { link.href = `${here()}${window.location.search}${AT_ONCE}`; });
  } else {
    link.addEventListener("click", keep);
  }
  return link;
}

// Before anything is drawn: goes on to the provider where this tab was opened for that, and takes back what was looked at before.
// True if the page is being left.
export function arrive() {
  if (window.location.hash === AT_ONCE && !framed) {
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    keep();
    window.location.assign(there("login/huggingface"));
    return true;
  }
  const kept = taken();
  if (kept && !window.location.search) window.history.replaceState(null, "", window.location.pathname + kept + window.location.hash);
  return false;
}

function here() {
  return new URL(".", document.baseURI).href;
}

function there(address) {
  return `${new URL(address, document.baseURI).href}?_target_url=${encodeURIComponent("/")}`;
}

function keep() {
  try {
    window.sessionStorage.setItem(KEPT, window.location.search);
  } catch {
    // A browser that keeps nothing comes back to the first merge.
  }
}

function taken() {
  try {
    const kept = window.sessionStorage.getItem(KEPT);
    window.sessionStorage.removeItem(KEPT);
    return kept;
  } catch {
    return null;
  }
}
