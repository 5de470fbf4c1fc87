/**
 * What was recorded and is not text yet. Entries are kept, in order, until the turn that they belong to has its final
 * text: a session whose connection is lost gets again what its server does not have, and a session that is begun anew
 * because the old one is gone gets all of it again.
 */

import { Kind } from "./contract.js";
import { durationMs } from "./pcm.js";

/** Audio that is kept at the most: some 10 MB. */
export const KEPT_MAX_MS = 300_000;

/**
 * @typedef {object} Entry
 * @property {string} kind of Kind
 * @property {number} turn
 * @property {number} atMs where its audio begins in the recording
 * @property {number} ms how long it is; 0 for what is no audio
 * @property {Int16Array | null} pcm
 * @property {number} number in the session; 0 while it was not sent there
 */

export class Journal {
  #entries = [];
  #sent = 0;
  #acked = 0;
  #numbered = 0;
  #maxMs;
  #over = new Set();
  #forgotten = [];
  #keptMs = 0;

  /** @param {number} [maxMs] */
  constructor(maxMs = KEPT_MAX_MS) {
    this.#maxMs = maxMs;
  }

  /** Milliseconds of audio that the server is not known to have. */
  get waitingMs() {
    return this.#entries.reduce((sum, entry) => sum + (this.#isAcked(entry) ? 0 : entry.ms), 0);
  }

  /** Whether anything was sent that the server is not known to have. */
  get isOwedAck() {
    return this.#sent > 0 && !this.#isAcked(this.#entries[this.#sent - 1]);
  }

  /** The turns that have no final text yet, in order. */
  get turns() {
    const open = this.#entries.filter((entry) => entry.kind === Kind.START && !this.#over.has(entry.turn));
    return open.map((entry) => entry.turn);
  }

  /**
   * Keep a further entry. Where there is no room audio goes: first what the server has, then the oldest that it was
   * never sent.
   * @param {string} kind
   * @param {number} turn
   * @param {number} atMs
   * @param {Int16Array | null} [pcm]
   * @returns {[number, number] | null} what of the recording is lost for want of room
   */
  push(kind, turn, atMs, pcm = null) {
    const ms = pcm ? durationMs(pcm.length) : 0;
    this.#entries.push({ kind, turn, atMs, ms, pcm, number: 0 });
    this.#keptMs += ms;
    return this.#keptMs > this.#maxMs ? this.#makeRoom() : null;
  }

  /** @returns {Entry | null} what is to be sent next */
  next() {
    return this.#entries[this.#sent] ?? null;
  }

  /**
   * What `next` gave has been sent.
   * @returns {boolean} whether for the first time in this session
   */
  sent() {
    const entry = this.#entries[this.#sent];
    const isFirst = entry.number === 0;
    if (isFirst) entry.number = this.#numbered += 1;
    this.#sent += 1;
    return isFirst;
  }

  /** The number of what was sent last; the server has no more than that. */
  get lastSent() {
    return this.#numbered;
  }

  /**
   * The server has everything up to this number.
   * @param {number} number
   * @returns {boolean} false when that can't be
   */
  acknowledge(number) {
    if (!(number >= this.#acked && number <= this.lastSent)) return false;
    this.#acked = number;
    this.#trim();
    return true;
  }

  /**
   * The session has another connection, and has everything up to this number: the rest is to be sent again.
   * @param {number} number
   * @returns {boolean} false when that can't be
   */
  resumed(number) {
    if (!(number >= this.#acked && number <= this.#numbered)) return false;
    this.#acked = number;
    const first = this.#entries.findIndex((entry) => !this.#isAcked(entry));
    this.#sent = first < 0 ? this.#entries.length : first;
    this.#trim();
    return true;
  }

  /**
   * The session is gone and another one begins: all that has no final text is to be sent again.
   * @returns {{turns: number[], lost: [number, number][]}} the turns that are heard again, and what can't be
   */
  restart() {
    const heard = new Set(this.#entries.filter((entry) => entry.number > 0).map((entry) => entry.turn));
    const lost = this.#forgotten.filter((part) => !this.#over.has(part.turn)).map((part) => [part.fromMs, part.toMs]);
    this.#entries = this.#entries.filter((entry) => !this.#over.has(entry.turn));
    for (const entry of this.#entries) entry.number = 0;
    this.#sent = this.#acked = this.#numbered = 0;
    this.#keptMs = this.#entries.reduce((sum, entry) => sum + entry.ms, 0);
    this.#over.clear();
    this.#forgotten = [];
    return { turns: this.turns.filter((turn) => heard.has(turn)), lost };
  }

  /**
   * A turn has its final text, or gets none.
   * @param {number} turn
   */
  turnOver(turn) {
    this.#over.add(turn);
    this.#forgotten = this.#forgotten.filter((part) => part.turn !== turn);
    this.#trim();
  }

  #isAcked(entry) {
    return entry.number > 0 && entry.number <= this.#acked;
  }

  #trim() {
    let count = 0;
    while (count < this.#sent && this.#isAcked(this.#entries[count]) && this.#over.has(this.#entries[count].turn)) {
      this.#keptMs -= this.#entries[count].ms;
      count += 1;
    }
    if (count === 0) return;
    const gone = this.#entries.splice(0, count);
    this.#sent -= count;
    // A turn's end comes last: with it nothing refers to the turn any longer.
    for (const entry of gone) if (entry.kind === Kind.END) this.#over.delete(entry.turn);
  }

  #makeRoom() {
    const isAudio = (entry) => entry.kind === Kind.AUDIO;
    const safe = this.#entries.findIndex((entry) => isAudio(entry) && this.#isAcked(entry));
    if (safe >= 0) {
      this.#remove(safe);
      return null;
    }
    const index = this.#entries.findIndex((entry) => isAudio(entry) && entry.number === 0);
    const { atMs, ms } = this.#remove(index);
    return [atMs, atMs + ms];
  }

  #remove(index) {
    const [entry] = this.#entries.splice(index, 1);
    if (index < this.#sent) this.#sent -= 1;
    this.#keptMs -= entry.ms;
    const last = this.#forgotten.at(-1);
    const toMs = entry.atMs + entry.ms;
    if (this.#isAcked(entry)) {
      if (last?.turn === entry.turn && last.toMs === entry.atMs) last.toMs = toMs;
      else this.#forgotten.push({ turn: entry.turn, fromMs: entry.atMs, toMs });
    }
    return entry;
  }
}
