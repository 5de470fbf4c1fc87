/**
 * How late the text is: from the moment that the browser got a sound to the moment that text is shown whose model had
 * heard up to that sound. The look-ahead that a model takes before it speaks is part of it.
 */

/** Audio whose capture is remembered; older text has no latency that anybody would want to read. */
const REMEMBERED_MS = 120_000;
/** Audio from before the first piece that is remembered is taken for that piece's. */
const REMEMBER_SLACK_MS = 200;
/** Pieces of text that the shown value is the median of. */
const WINDOW = 9;

export class Latency {
  #captures = [];
  #recent = [];

  /**
   * A piece of the recording, up to `atMs`, came from the microphone at `nowMs`.
   * @param {number} atMs
   * @param {number} nowMs
   */
  captured(atMs, nowMs) {
    this.#captures.push({ atMs, nowMs });
    if (this.#captures[0].atMs < atMs - REMEMBERED_MS) this.#captures.shift();
  }

  /**
   * Text is shown whose model had heard the recording up to `atMs`.
   * @param {number} atMs
   * @param {number} nowMs
   */
  shown(atMs, nowMs) {
    const [oldest] = this.#captures;
    if (!oldest || atMs < oldest.atMs - REMEMBER_SLACK_MS) return;
    // The first piece that has all of it; at the end of a turn a model says more than there is audio.
    const capture = this.#captures.find((one) => one.atMs >= atMs) ?? this.#captures.at(-1);
    this.#recent.push(Math.max(0, nowMs - capture.nowMs));
    if (this.#recent.length > WINDOW) this.#recent.shift();
  }

  /** Milliseconds, the median of what was shown last; null before there is any. */
  get ms() {
    if (this.#recent.length === 0) return null;
    const sorted = [...this.#recent].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  /** Nothing is captured any more. */
  reset() {
    this.#captures = [];
    this.#recent = [];
  }
}
