/** The numbers of the server's events: each is taken once, in order, and acknowledged. */

import { UNNUMBERED } from "./contract.js";

const ACK_EVENTS = 32;
const ACK_BYTES = 65_536;
/** How long an event may stay unacknowledged. */
export const ACK_DELAY_MS = 1_000;

export class Numbering {
  #events = 0;
  #bytes = 0;
  /** The number of the last event that was taken. */
  last = 0;

  /** Another session: it counts from 1. */
  restart() {
    this.last = 0;
    this.told();
  }

  /** Whether anything has come that the server was not told of. */
  get isOwed() {
    return this.#events > 0;
  }

  /** Whether to tell the server without waiting any longer. */
  get isDue() {
    return this.#events >= ACK_EVENTS || this.#bytes >= ACK_BYTES;
  }

  /**
   * @param {{type: string, seq?: number}} event
   * @param {number} size of its message
   * @returns {"new" | "known" | "gap"} known: it was taken before; gap: one before it is missing
   */
  take(event, size) {
    if (UNNUMBERED.has(event.type) || !event.seq) return "new";
    if (event.seq <= this.last) return "known";
    if (event.seq !== this.last + 1) return "gap";
    this.last = event.seq;
    this.#events += 1;
    this.#bytes += size;
    return "new";
  }

  /** The server has been told of everything. */
  told() {
    this.#events = this.#bytes = 0;
  }
}
