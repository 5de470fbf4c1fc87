/**
 * Server-sent events out of pieces of text, cut anywhere (WHATWG HTML, "Interpreting an event stream"). The browser's own
 * EventSource sends no headers, and so no credential.
 */

/** More than this in one event is none of this server's. */
export const EVENT_MAX_CHARS = 8_388_608;

/** @typedef {{name: string, data: string}} ServerEvent */

export class EventParser {
  #rest = "";
  #name = "";
  /** @type {string[]} */
  #data = [];
  #chars = 0;
  /** How long to wait before the next connection, as the server wants it; null until it says. @type {number | null} */
  retryMs = null;

  /**
   * @param {string} text what came
   * @returns {ServerEvent[]} the events that are whole with it
   */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    this.#check(this.#rest.length);
    const events = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else if (this.#data.length) events.push(this.#take());
      else this.#name = "";
    }
    return events;
  }

  #take() {
    const event = { name: this.#name || "message", data: this.#data.join("\n") };
    this.#name = "";
    this.#data = [];
    this.#chars = 0;
    return event;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#name = value;
    else if (name === "data") {
      this.#data.push(value);
      this.#chars += value.length;
      this.#check(this.#chars);
    } else if (name === "retry" && /^\d{1,6}$/.test(value)) this.retryMs = Number(value);
  }

  #check(chars) {
    if (chars > EVENT_MAX_CHARS) throw new RangeError("An event is too long.");
  }
}
