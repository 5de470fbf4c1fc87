/** Numbers as they are shown: short, aligned, always with their unit. */

const THIN = "\u202f";

/** @param {number | null | undefined} seconds @returns {string} from microseconds to days, about three digits */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const size = Math.abs(seconds);
  if (size === 0) return `0${THIN}s`;
  if (size < 0.0995) return `${trimmed(seconds * 1000, size < 0.00995 ? 1 : 0)}${THIN}ms`;
  if (size < 9.995) return `${seconds.toFixed(2)}${THIN}s`;
  if (size < 99.95) return `${seconds.toFixed(1)}${THIN}s`;
  return age(seconds);
}

/** @param {number} seconds @returns {string} of something that ticks: whole seconds */
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${THIN}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 86_400)}${THIN}d ${Math.floor(whole / 3600) % 24}${THIN}h`;
}

/** @param {number} seconds @returns {string} of a lag: a tenth of a second is as fine as one hears it */
export function lag(seconds) {
  return seconds < 59.95 ? `${seconds.toFixed(1)}${THIN}s` : age(seconds);
}

/** @param {number | null | undefined} bytes @returns {string} */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1024) return `${bytes}${THIN}B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}${THIN}${units[unit]}`;
}

/** @param {number} ms @returns {string} */
export function milliseconds(ms) {
  return `${trimmed(ms, ms < 9.95 ? 1 : 0)}${THIN}ms`;
}

/** @param {number} count @param {string} one @param {string} [many] @returns {string} */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** @param {string} id @returns {string} as much of a session's id as tells it from the others, mostly */
export function shortId(id) {
  return id.replace(/^sess-/, "").slice(0, 8);
}

/** @param {string} code a word with hyphens @returns {string} for a reader */
export function words(code) {
  return code.replaceAll("-", " ").replaceAll("_", " ");
}

/**
 * A fact of a mark, by what its name ends in.
 * @param {string} name @param {boolean | number | string} value
 * @returns {string}
 */
export function fact(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return words(value);
  if (/_s(_|$)/.test(name)) return duration(value);
  if (/_bytes(_|$)/.test(name)) return size(value);
  return value.toLocaleString("en");
}

/** @param {string} name of a fact @returns {string} */
export function factName(name) {
  return words(name.replace(/_(s|bytes)(?=_|$)/, ""));
}

/**
 * Where an axis has its marks: steps of 1, 2 or 5 times a power of ten, or of whole minutes and hours.
 * @param {number} from @param {number} to seconds @param {number} most so many at the most
 * @returns {{at: number, label: string}[]}
 */
export function ticks(from, to, most) {
  const step = tickStep((to - from) / Math.max(1, most));
  const first = Math.ceil(from / step - 1e-9);
  const found = [];
  for (let number = first; number * step <= to + step * 1e-9 && found.length <= most; number += 1) {
    const at = Math.abs(number * step) < 1e-12 ? 0 : number * step;
    found.push({ at, label: tickLabel(at, step) });
  }
  return found;
}

function tickStep(least) {
  if (least > 5_000) return Math.ceil(least / 3600) * 3600;
  for (const step of [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]) if (least > 5 && step >= least) return step;
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-4)));
  for (const factor of [1, 2, 5]) if (factor * power >= least * 0.999) return factor * power;
  return 10 * power;
}

function tickLabel(at, step) {
  if (at === 0) return `0${THIN}s`;
  if (step < 0.1) return `${Math.round(at * 1000)}${THIN}ms`;
  if (step < 1) return `${at.toFixed(1)}${THIN}s`;
  return at < 0 ? `−${age(-at)}` : age(at);
}

const two = (number) => String(number).padStart(2, "0");

const trimmed = (value, digits) => value.toFixed(digits).replace(/\.0$/, "");
