// Which methods a search means: every word of it stands in title, name, summary, authors or group, whatever the case, and
// whether it is written with hyphens, spaces, accents or without.

const SOURCES = [(info) => info.title, (info) => info.name, (info) => info.summary, (info) => info.group, (info) => info.source?.authors, (info) => info.source?.title];

export function squeezed(text) {
  return String(text ?? "").normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
}

export function createMethodSearch(methods) {
  const known = methods.map((info) => ({ info, texts: SOURCES.map((source) => squeezed(source(info))) }));

  // The methods that a search means, in the order of the registry.
  return (text) => {
    const words = text.split(/\s+/).map(squeezed).filter((word) => word !== "");
    const whole = squeezed(text);
    const found = ({ texts }) => texts.some((one) => one.includes(whole)) || words.every((word) => texts.some((one) => one.includes(word)));
    return known.filter(found).map(({ info }) => info);
  };
}

// What a method takes, in a few words.
export function needs(info) {
  const [least, most] = info.models;
  const many = most === null ? `${least} or more experts` : least === most ? `${least} expert${least === 1 ? "" : "s"}` : `${least} to ${most} experts`;
  return [`${many}${info.symmetric || most === 1 ? "" : ", in order"}`, info.needs_base ? "a base" : null, info.needs_data ? "data" : null].filter(Boolean).join(" · ");
}
