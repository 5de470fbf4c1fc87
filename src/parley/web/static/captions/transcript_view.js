/** The transcript on the page: an item for each turn, with its time, and one for each hole. */

import { byId, make, setText } from "./dom.js";
import { between, clock } from "./phrases.js";

/** So near to the end the page follows it. */
const NEAR_PX = 80;

export class TranscriptView {
  #page = byId("transcript-region");
  #list = byId("transcript");
  #empty = byId("empty");
  #latest = byId("latest-button");
  #items = new Map();
  #follows = true;
  #timeOf;

  /** @param {(turn: import("./transcript.js").Turn) => string} timeOf what is shown beside a turn */
  constructor(timeOf) {
    this.#timeOf = timeOf;
    this.#page.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#follow()).observe(this.#list);
  }

  /**
   * Show a turn as it is now.
   * @param {import("./transcript.js").Turn} turn
   * @param {number} nowMs
   */
  update(turn, nowMs) {
    if (turn.isEmpty) {
      this.#drop(`turn-${turn.id}`);
      return;
    }
    const item = this.#items.get(`turn-${turn.id}`) ?? this.#addTurn(turn);
    const { settled, partial } = turn.shown(nowMs);
    setText(item.settled, settled);
    setText(item.partial, partial);
    setText(item.time, this.#timeOf(turn));
    item.time.dateTime = `PT${(turn.spokenMs / 1000).toFixed(1)}S`;
    if (turn.hasFailed) item.element.dataset.failed = "";
    if (turn.revisions > item.revisions) {
      item.revisions = turn.revisions;
      delete item.element.dataset.revised;
      requestAnimationFrame(() => (item.element.dataset.revised = ""));
    }
    if (turn.isDone) item.element.dataset.done = "";
    this.#empty.hidden = true;
    this.#follow();
  }

  /** A turn is void. */
  remove(id) {
    this.#drop(`turn-${id}`);
  }

  /** Show where words may be missing. @param {{id: number, atMs: number, toMs: number}} mark */
  mark(mark) {
    const key = `hole-${mark.id}`;
    let item = this.#items.get(key);
    if (!item) {
      const element = make("li", { class: "hole", "data-testid": "hole" });
      item = { element, text: element.appendChild(make("span")), startMs: mark.atMs };
      this.#place(key, item);
    }
    setText(item.text, `Words may be missing ${between([[mark.atMs, mark.toMs]])}`);
    this.#empty.hidden = true;
    this.#follow();
  }

  /** What is beside the turns is another thing now. @param {import("./transcript.js").Turn[]} turns */
  retime(turns) {
    for (const turn of turns) {
      const item = this.#items.get(`turn-${turn.id}`);
      if (item) setText(item.time, this.#timeOf(turn));
    }
  }

  clear() {
    this.#items.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
    this.#follows = true;
    this.#latest.hidden = true;
  }

  /** Go to the latest words, and follow them. */
  toEnd() {
    this.#follows = true;
    this.#follow();
  }

  #addTurn(turn) {
    const element = make("li", { class: "turn", "data-testid": "turn", "data-turn": String(turn.id) });
    const time = element.appendChild(make("time", { class: "turn-time" }));
    const text = element.appendChild(make("p", { class: "turn-text", dir: "auto" }));
    const settled = text.appendChild(make("span", { class: "turn-settled" }));
    const partial = text.appendChild(make("span", { class: "turn-partial", "data-testid": "partial" }));
    const item = { element, time, settled, partial, revisions: 0, startMs: turn.startMs };
    this.#place(`turn-${turn.id}`, item);
    return item;
  }

  /** In the order of the recording: a turn's text may come after that of a later mark. */
  #place(key, item) {
    let after = null;
    for (const other of this.#items.values()) {
      if (other.startMs <= item.startMs && (!after || other.startMs >= after.startMs)) after = other;
    }
    if (after) after.element.after(item.element);
    else this.#list.prepend(item.element);
    this.#items.set(key, item);
  }

  #drop(key) {
    this.#items.get(key)?.element.remove();
    this.#items.delete(key);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#page;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#latest.hidden = this.#follows;
  }

  #follow() {
    if (this.#follows) this.#page.scrollTop = this.#page.scrollHeight;
  }
}

/**
 * What is beside a turn: its place in the recording, or the time of day.
 * @param {import("./transcript.js").Turn} turn
 * @param {string} times
 * @param {(ms: number) => Date | null} dayOf
 * @returns {string}
 */
export function timeBeside(turn, times, dayOf) {
  const day = times === "day" ? dayOf(turn.spokenMs) : null;
  return day ? day.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : clock(turn.spokenMs);
}
