// Light and dark: one palette (app/charts/palette.json) for the page and for the charts.

function isDark() {
  return document.body.classList.contains("dark") || document.documentElement.classList.contains("dark");
}

export function createTheme(palette, root) {
  const listeners = new Set();
  let dark = null;
  let forced = null;

  function apply() {
    const wanted = forced === null ? isDark() : forced === "dark";
    if (dark === wanted) return;
    dark = wanted;
    for (const [role, colour] of Object.entries(colours())) root.style.setProperty(`--${role}`, colour);
    root.dataset.theme = dark ? "dark" : "light";
    listeners.forEach((listener) => listener());
  }

  function colours() {
    return palette[dark ? "dark" : "light"];
  }

  // A copy of `value` in which every `role:name` is the colour of that role.
  function dress(value) {
    if (typeof value === "string") {
      if (!value.includes("role:")) return value;
      return value.replace(/role:([a-z0-9-]+)/g, (whole, role) => colours()[role] ?? whole);
    }
    if (Array.isArray(value)) return value.map(dress);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, dress(inner)]));
    }
    return value;
  }

  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  // "light" or "dark" whatever the page says (paper is white); null goes back to it.
  function force(name) {
    forced = name;
    apply();
  }

  apply();
  return { force, dress, onChange: (listener) => listeners.add(listener) };
}
