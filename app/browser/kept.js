// One value that the browser keeps for this site, "localStorage" for all its tabs and "sessionStorage" for this one. A browser may
// forbid to keep anything: then it is null again.

export function createKept(storage, key) {
  function set(value) {
    try {
      if (value === null) window[storage].removeItem(key);
      else window[storage].setItem(key, JSON.stringify(value));
    } catch {
      return;
    }
  }

  function get() {
    try {
      return JSON.parse(window[storage].getItem(key));
    } catch {
      return null;
    }
  }

  return { get, set };
}
