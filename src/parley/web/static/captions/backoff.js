/** When to try again: at once, then after a tenth of a second, doubling to 5 s, each spread by up to a half. */

const FIRST_MS = 100;
const MAX_MS = 5_000;

export class Backoff {
  #nextMs = 0;

  /**
   * Milliseconds until the next attempt.
   * @param {number} chance from 0 to 1, so that many pages don't come back at once
   * @returns {number}
   */
  next(chance) {
    const delayMs = this.#nextMs;
    this.#nextMs = delayMs ? Math.min(MAX_MS, 2 * delayMs) : FIRST_MS;
    return (delayMs * (1 + chance)) / 2;
  }

  /** The next attempt is the first of a row. */
  reset() {
    this.#nextMs = 0;
  }
}
