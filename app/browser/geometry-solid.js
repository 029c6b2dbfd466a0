// Whether this browser draws bodies in three dimensions.

let known = null;

export function hasBodies() {
  if (known === null) {
    const context = document.createElement("canvas").getContext("webgl");
    known = context !== null;
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return known;
}
