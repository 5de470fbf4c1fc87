/** What somebody chose for this page, kept in this browser; never a credential, never text. */

const KEY = "parley.captions";
const DEFAULTS = { microphone: "", model: "", size: "3", lines: "3", times: "recording", pace: "fast", keys: true };
const CHOICES = {
  size: ["1", "2", "3", "4", "5"],
  lines: ["2", "3", "5"],
  times: ["recording", "day"],
  pace: ["fast", "real"],
};

/**
 * What was chosen, whatever else may have been kept.
 * @param {unknown} kept
 * @returns {typeof DEFAULTS}
 */
export function sound(kept) {
  const chosen = { ...DEFAULTS };
  if (kept === null || typeof kept !== "object") return chosen;
  for (const [name, value] of Object.entries(DEFAULTS)) {
    const other = kept[name];
    if (typeof other !== typeof value) continue;
    if (!CHOICES[name] || CHOICES[name].includes(other)) chosen[name] = other;
  }
  return chosen;
}

/** @returns {typeof DEFAULTS} */
export function restored() {
  try {
    return sound(JSON.parse(localStorage.getItem(KEY) ?? "null"));
  } catch {
    return sound(null);
  }
}

/** @param {typeof DEFAULTS} settings */
export function keep(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // It holds until the page is left.
  }
}
