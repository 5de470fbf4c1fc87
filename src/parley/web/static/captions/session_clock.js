/**
 * The server counts milliseconds of audio since its session began, the page those since recording began. They differ
 * once a session was begun anew, or audio was left out.
 */

const ANCHORS_MAX = 256;

export class SessionClock {
  #anchors = [];
  #sentMs = 0;

  /** Another session: it counts from 0. */
  restart() {
    this.#anchors = [];
    this.#sentMs = 0;
  }

  /**
   * A piece of the recording was sent, for the first time in this session.
   * @param {number} atMs where in the recording
   * @param {number} ms
   */
  sent(atMs, ms) {
    const offset = atMs - this.#sentMs;
    const last = this.#anchors.at(-1);
    if (last === undefined || Math.abs(last.offset - offset) > 0.5) {
      this.#anchors.push({ sessionMs: this.#sentMs, offset });
      if (this.#anchors.length > ANCHORS_MAX) this.#anchors.shift();
    }
    this.#sentMs += ms;
  }

  /**
   * Intervals of the session as those of the recording.
   * @param {unknown} intervals [[from_ms, to_ms], ...]
   * @returns {[number, number][]}
   */
  recorded(intervals) {
    if (!Array.isArray(intervals)) return [];
    const pairs = intervals.filter((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite));
    return pairs.map(([from, to]) => [this.#recordedMs(from), this.#recordedMs(to)]);
  }

  #recordedMs(sessionMs) {
    const anchor = this.#anchors.findLast((one) => one.sessionMs <= sessionMs) ?? this.#anchors[0];
    return sessionMs + (anchor?.offset ?? 0);
  }
}
