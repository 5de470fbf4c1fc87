/** Captions for a room: the last lines, very large, on the whole screen. */

import { byId, make, setText } from "./dom.js";

/** Turns that may be seen at once. */
const TURNS = 3;
/** How much of a long turn is laid out; cut at a place that stays, so that lines don't jump. */
const CHARACTERS_MAX = 700;
const REST_MS = 2_500;
/** What is heard, or opens above, whatever is seen. */
const STAY = new Set(["DIALOG", "announcer", "announced-status", "notice"]);

export class ScreenView {
  #screen = byId("screen");
  #text = byId("screen-text");
  #timer = 0;
  #onChange;
  #before = null;

  /** @param {(isOpen: boolean) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    byId("screen-button").addEventListener("click", () => this.open());
    byId("screen-exit-button").addEventListener("click", () => this.close());
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement) this.close();
    });
    this.#screen.addEventListener("pointermove", () => this.#stir());
  }

  get isOpen() {
    return !this.#screen.hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  /** On the whole screen where the browser allows it, on the whole page otherwise. */
  open() {
    this.#screen.hidden = false;
    document.body.dataset.mode = "screen";
    for (const part of this.#others()) part.inert = true;
    document.documentElement.requestFullscreen?.({ navigationUI: "hide" }).catch(() => {});
    this.#before = document.activeElement;
    this.#screen.focus();
    this.#stir();
    this.#onChange(true);
  }

  close() {
    if (!this.isOpen) return;
    this.#screen.hidden = true;
    document.body.dataset.mode = "page";
    for (const part of this.#others()) part.inert = false;
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    // Where it was, so that Space does what it did.
    this.#before?.focus({ focusVisible: false });
    this.#before = null;
    this.#onChange(false);
  }

  /**
   * Show the end of what was said.
   * @param {import("./transcript.js").Turn[]} turns
   * @param {number} nowMs
   */
  update(turns, nowMs) {
    if (!this.isOpen) return;
    const last = turns.slice(-TURNS);
    if (last.length === 0) {
      this.#text.replaceChildren(make("p", { class: "screen-hint" }, "What is said appears here."));
      return;
    }
    this.#text.querySelector(".screen-hint")?.remove();
    while (this.#text.children.length > last.length) this.#text.lastElementChild.remove();
    while (this.#text.children.length < last.length) this.#text.append(paragraph());
    for (const [index, turn] of last.entries()) fill(this.#text.children[index], turn.shown(nowMs));
  }

  /** What is behind it: not to be reached while it is open. */
  #others() {
    const isBehind = (part) => part !== this.#screen && !STAY.has(part.tagName) && !STAY.has(part.id);
    return [...document.body.children].filter(isBehind);
  }

  #stir() {
    delete this.#screen.dataset.rest;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#screen.dataset.rest = ""), REST_MS);
  }
}

function paragraph() {
  const element = make("p", { dir: "auto" });
  element.append(make("span"), make("span", { class: "turn-partial" }));
  return element;
}

function fill(element, { settled, partial }) {
  const [first, second] = element.children;
  setText(first, tail(settled));
  setText(second, partial);
}

/** The end of a long text, from a place that moves only every so many characters. */
function tail(text) {
  if (text.length <= CHARACTERS_MAX) return text;
  const step = CHARACTERS_MAX / 2;
  const from = Math.ceil((text.length - CHARACTERS_MAX) / step) * step;
  const space = text.indexOf(" ", from);
  return text.slice(space < 0 ? from : space + 1);
}
