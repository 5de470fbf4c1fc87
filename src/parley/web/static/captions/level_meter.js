/** The level of the last seconds, as a row of bars. */

import { byId } from "./dom.js";

const BAR_PX = 3;
const STEP_PX = 6;
const FLOOR_DB = -60;
const CLIPPING_DB = -6;

export class LevelMeter {
  #canvas = byId("level");
  #levels;
  #spokenAtMs = -Infinity;
  #isDrawn = true;

  constructor() {
    this.#levels = new Array(Math.floor(this.#canvas.width / STEP_PX)).fill(FLOOR_DB);
    const ratio = Math.max(1, devicePixelRatio);
    this.#canvas.width *= ratio;
    this.#canvas.height *= ratio;
    this.#canvas.getContext("2d").scale(ratio, ratio);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.redraw();
  }

  /**
   * A further piece was heard.
   * @param {number} db of full scale
   * @param {boolean} isSpeech
   */
  add(db, isSpeech) {
    this.#levels.push(Math.max(FLOOR_DB, Math.min(0, db)));
    this.#levels.shift();
    this.#tell(db, isSpeech);
    this.redraw();
  }

  /** Nothing is heard any more. */
  clear() {
    this.#levels.fill(FLOOR_DB);
    this.#tell(FLOOR_DB, false);
    this.redraw();
  }

  /** Draw with the next frame. */
  redraw() {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#isDrawn = true;
    const context = this.#canvas.getContext("2d");
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const style = getComputedStyle(this.#canvas);
    context.clearRect(0, 0, width, height);
    for (const [index, db] of this.#levels.entries()) {
      const share = (db - FLOOR_DB) / -FLOOR_DB;
      const tall = Math.max(BAR_PX, share ** 1.4 * height);
      context.globalAlpha = share > 0.02 ? 0.35 + (0.65 * (index + 1)) / this.#levels.length : 0.22;
      context.fillStyle = db > CLIPPING_DB ? style.getPropertyValue("--level-hot") : style.color;
      context.beginPath();
      context.roundRect(index * STEP_PX, (height - tall) / 2, BAR_PX, tall, BAR_PX / 2);
      context.fill();
    }
  }

  #tell(db, isSpeech) {
    const nowMs = performance.now();
    if (isSpeech) this.#spokenAtMs = nowMs;
    const words = db > CLIPPING_DB ? "too loud" : nowMs - this.#spokenAtMs < 1000 ? "speech" : "quiet";
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(Math.max(FLOOR_DB, Math.min(0, db)))));
    this.#canvas.setAttribute("aria-valuetext", words);
  }
}
