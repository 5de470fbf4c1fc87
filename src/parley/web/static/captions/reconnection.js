/**
 * The time between the loss of a connection and its return: whether the session can still be had, and when to try
 * again. At once, then after a tenth of a second, doubling to 5 s, each spread by up to a half; later where the server
 * says so.
 */

const FIRST_MS = 100;
const MAX_MS = 5_000;
/** A connection that lasted so long was a good one: the next attempt is the first of a row. */
const STABLE_MS = 5_000;

export class Reconnection {
  #token = "";
  #windowMs = 0;
  #lostMs = null;
  #liveMs = 0;
  #delayMs = 0;
  #retryAfterMs = 0;

  /** What takes the session up again; empty where there is nothing to take up. */
  get token() {
    return this.#token;
  }

  /**
   * A session began.
   * @param {string} token
   * @param {number} windowMs how long the server keeps it without a connection
   */
  began(token, windowMs) {
    this.#token = token;
    this.#windowMs = windowMs;
  }

  /** The session can't be had again, or is not worth having. */
  forget() {
    this.#token = "";
  }

  /**
   * There is a connection, and a session on it.
   * @param {number} nowMs
   * @returns {number} for how long there was none
   */
  isBack(nowMs) {
    const downtimeMs = this.#lostMs === null ? 0 : nowMs - this.#lostMs;
    this.#lostMs = null;
    this.#liveMs = nowMs;
    return downtimeMs;
  }

  /**
   * There is no connection, or an attempt to make it failed.
   * @param {number} nowMs
   * @param {boolean} wasLive
   * @returns {boolean} whether this is news
   */
  isLost(nowMs, wasLive) {
    if (wasLive && nowMs - this.#liveMs >= STABLE_MS) this.#delayMs = 0;
    const isNews = this.#lostMs === null;
    this.#lostMs ??= nowMs;
    return isNews;
  }

  /** @param {number} ms the server asked for so long */
  wait(ms) {
    this.#retryAfterMs = ms;
  }

  /**
   * How long to wait until the next attempt.
   * @param {number} nowMs
   * @param {number} chance from 0 to 1, so that many pages don't come back at once
   * @returns {number}
   */
  next(nowMs, chance) {
    if (nowMs - this.#lostMs >= this.#windowMs) this.forget();
    const delayMs = Math.max(this.#retryAfterMs, (this.#delayMs * (1 + chance)) / 2);
    this.#retryAfterMs = 0;
    this.#delayMs = this.#delayMs ? Math.min(MAX_MS, 2 * this.#delayMs) : FIRST_MS;
    return delayMs;
  }
}
