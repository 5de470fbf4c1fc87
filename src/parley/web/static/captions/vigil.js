/** Keeps the screen on while somebody is listened to: a page that is shown at a meeting is not touched for hours. */

export class Vigil {
  #isWanted = false;
  #lock = null;

  constructor() {
    // The browser takes it away whenever the page is not seen.
    document.addEventListener("visibilitychange", () => this.#settle());
  }

  /** @param {boolean} isWanted */
  keep(isWanted) {
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    this.#settle();
  }

  async #settle() {
    if (!navigator.wakeLock) return;
    if (!this.#isWanted) {
      await this.#lock?.release();
      this.#lock = null;
    } else if (document.visibilityState === "visible" && (this.#lock?.released ?? true)) {
      // Not allowed on an empty battery, for one; captions go on all the same.
      this.#lock = await navigator.wakeLock.request("screen").catch(() => null);
    }
  }
}
