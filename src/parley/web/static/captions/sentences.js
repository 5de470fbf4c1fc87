/** Which sentences of a text are complete: those that may be read aloud, as nothing is added to them. */

const END = /[.!?…。！？؟।]["'”’»)\]]*\s+/gu;

/**
 * The text up to the end of its last complete sentence.
 * @param {string} text
 * @param {string} [locale]
 * @returns {string}
 */
export function complete(text) {
  let length = 0;
  for (const found of text.matchAll(END)) length = found.index + found[0].length;
  return text.slice(0, length);
}
