// Files in and out of the browser: handed over as a download, or packed to be sent.

const LARGEST = 1024 * 1024;

// Gives the visitor a file { name, type, data (base64) }.
export function hand({ name, type, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// The file gzipped, in base64; null if it is larger than anything of ours.
export async function gzipped(file) {
  if (file.size > LARGEST) return null;
  const packed = new Uint8Array(await new Response(file.stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer());
  let text = "";
  for (let at = 0; at < packed.length; at += 8192) text += String.fromCharCode(...packed.subarray(at, at + 8192));
  return btoa(text);
}
