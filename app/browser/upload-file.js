// One file on its way to the server: its start goes first, so that what would be refused is refused before anything large is sent.

const LENGTH = 8;
const LARGEST_HEADER = 16 * 1024 * 1024;
const SNIFFED = 4096;

// Sends a file, a checkpoint with the text of its config.json before it. Returns { answer, cancel }; the answer is that of the
// server, or null after cancel. `tell` hears how many bytes are sent; an error is a lost connection.
export function send(file, { kind, config = null }, tell) {
  const query = new URLSearchParams({ name: file.name.slice(0, 255) });
  if (config) query.set("config", config.size);
  const parts = config ? [config] : [];
  let request = null;
  let cancelled = false;

  async function whole() {
    const start = new Blob([...parts, await startOf(file, kind)]);
    const first = await put(`${kind}/start?${query}&size=${file.size}`, start, () => {});
    return cancelled || !first.ok ? first : put(`${kind}?${query}`, new Blob([...parts, file]), tell);
  }

  function put(path, body, heard) {
    return new Promise((resolve, reject) => {
      request = new XMLHttpRequest();
      request.open("PUT", new URL(`basin-upload/${path}`, document.baseURI));
      request.responseType = "json";
      request.upload.onprogress = (event) => heard(event.loaded);
      request.onload = () => (typeof request.response?.ok === "boolean" ? resolve(request.response) : reject(new Error(`status ${request.status}`)));
      request.onerror = () => reject(new Error("no connection"));
      request.onabort = () => resolve(null);
      if (cancelled) resolve(null);
      else request.send(body);
    });
  }

  return {
    answer: whole().then((answer) => (cancelled ? null : answer)),
    cancel: () => {
      cancelled = true;
      request?.abort();
    },
  };
}

// The header of a checkpoint, as long as the file itself says; of anything else the first bytes.
async function startOf(file, kind) {
  if (kind !== "checkpoint" || file.size < LENGTH) return file.slice(0, SNIFFED);
  const length = new DataView(await file.slice(0, LENGTH).arrayBuffer()).getBigUint64(0, true);
  return file.slice(0, length <= LARGEST_HEADER && length <= file.size - LENGTH ? LENGTH + Number(length) : SNIFFED);
}
