/** Timers by name: setting one again takes the place of the one before. */

export class Timers {
  #time;
  #running = new Map();

  /** @param {{set: (run: () => void, ms: number) => unknown, clear: (timer: unknown) => void}} time */
  constructor(time) {
    this.#time = time;
  }

  /** @param {string} name @returns {boolean} */
  has(name) {
    return this.#running.has(name);
  }

  /** @param {string} name @param {() => void} run @param {number} ms */
  set(name, run, ms) {
    this.clear(name);
    const fire = () => {
      this.#running.delete(name);
      run();
    };
    this.#running.set(name, this.#time.set(fire, ms));
  }

  /** @param {...string} names all of them where none is named */
  clear(...names) {
    for (const name of names.length ? names : [...this.#running.keys()]) {
      if (this.#running.has(name)) this.#time.clear(this.#running.get(name));
      this.#running.delete(name);
    }
  }
}
