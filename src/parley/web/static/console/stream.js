/** The stream of what changes on the node: connected, lost, and connected again. */

import { Refused, WANTS_CREDENTIAL } from "./api.js";
import { EventParser } from "./sse.js";

const FIRST_MS = 500;
const MAX_MS = 15_000;
const INTERVAL_S = 1;
/** Without a word for so long the connection is a dead one. */
const SILENCE_MS = 8_000;

/**
 * How long to wait before the next attempt.
 * @param {number} failures in a row, 1 or more @param {number} chance from 0 to 1 @param {number | null} [leastMs] the server's wish
 * @returns {number}
 */
export function delayMs(failures, chance, leastMs = null) {
  const most = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  return Math.max(leastMs ?? 0, most * (0.5 + chance / 2));
}

/**
 * @typedef {object} Listener
 * @property {(name: string, data: any) => void} told
 * @property {() => void} connected
 * @property {(problem: {error: unknown, reason: string, retryMs: number}) => void} lost
 * @property {(code: string) => Promise<void>} refused another credential is wanted; settles when there is one
 */

export class Stream {
  #api;
  #listener;
  #failures = 0;
  /** @type {AbortController | null} */
  #connection = null;
  /** @type {(() => void) | null} */
  #wake = null;
  #isAnew = false;
  #isUp = false;

  /** @param {import("./api.js").Api} api @param {Listener} listener */
  constructor(api, listener) {
    this.#api = api;
    this.#listener = listener;
  }

  /** For as long as the page is open. */
  async run() {
    for (;;) {
      let error = null;
      let reason = "";
      try {
        reason = await this.#connect();
        if (reason === "renew") continue;
      } catch (caught) {
        error = caught;
      }
      if (this.#isAnew) {
        this.#isAnew = false;
        continue;
      }
      if (error instanceof Refused && WANTS_CREDENTIAL.has(error.code)) {
        await this.#listener.refused(error.code);
        continue;
      }
      this.#failures += 1;
      const leastMs = error instanceof Refused && error.retryAfterS !== null ? 1000 * error.retryAfterS : null;
      const retryMs = delayMs(this.#failures, Math.random(), leastMs);
      this.#listener.lost({ error, reason, retryMs });
      await this.#wait(retryMs);
    }
  }

  /** Connect anew, now. */
  retry() {
    this.#isAnew = this.#connection !== null;
    this.#wake?.();
    this.#connection?.abort();
  }

  /** One connection to its end; returns why the server ended it. */
  async #connect() {
    const connection = new AbortController();
    this.#connection = connection;
    let timer = setTimeout(() => connection.abort(), SILENCE_MS);
    try {
      const response = await this.#api.ask("GET", `watch?interval_s=${INTERVAL_S}`, undefined, connection);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "";
        clearTimeout(timer);
        timer = setTimeout(() => connection.abort(), SILENCE_MS);
        for (const { name, data } of parser.push(value)) {
          const told = JSON.parse(data);
          if (name === "end") return told.reason;
          this.#listener.told(name, told);
        }
        if (this.#failures || !this.#isUp) this.#up();
      }
    } finally {
      clearTimeout(timer);
      this.#isUp = false;
      this.#connection = null;
      connection.abort();
    }
  }

  #up() {
    this.#failures = 0;
    this.#isUp = true;
    this.#listener.connected();
  }

  #wait(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
