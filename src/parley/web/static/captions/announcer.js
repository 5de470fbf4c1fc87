/** For those who hear the page: sentences once they have settled, each once, and never the words in between. */

import { byId, make } from "./dom.js";
import { complete } from "./sentences.js";

/** What stays there to be read again. */
const KEPT = 30;

export class Announcer {
  #element = byId("announcer");
  #told = new Map();

  /**
   * A turn has changed.
   * @param {import("./transcript.js").Turn} turn
   * @param {number} nowMs
   */
  update(turn, nowMs) {
    const isOver = turn.isDone || turn.hasFailed;
    const { settled } = turn.shown(nowMs);
    const ready = isOver ? settled : complete(settled);
    const told = this.#told.get(turn.id) ?? 0;
    if (ready.length > told) {
      this.#say(ready.slice(told).trim());
      this.#told.set(turn.id, ready.length);
    }
    if (isOver) this.#told.delete(turn.id);
  }

  #say(text) {
    if (!text) return;
    this.#element.append(make("p", { dir: "auto" }, text));
    while (this.#element.children.length > KEPT) this.#element.firstElementChild.remove();
  }

  /** Another transcript. */
  clear() {
    this.#told.clear();
    this.#element.replaceChildren();
  }
}
