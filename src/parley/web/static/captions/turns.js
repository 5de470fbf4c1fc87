/** Which turn of the page's is which item of the server's: it counts an item for each turn that is started. */

/** Turns that are begun on the server and not done; it takes 32. */
const PENDING_MAX = 12;

export class Turns {
  #items = new Map();
  #steps = new Map();
  #started = 0;

  /** Another session: it counts from 1. */
  restart() {
    this.#items.clear();
    this.#steps.clear();
    this.#started = 0;
  }

  /** Whether another turn may be started now. */
  get mayStart() {
    return this.#items.size < PENDING_MAX;
  }

  /** Whether a turn is not done. */
  get arePending() {
    return this.#items.size > 0;
  }

  /** @param {number} turn the page's */
  start(turn) {
    this.#started += 1;
    this.#items.set(this.#started, turn);
  }

  /**
   * The page's turn.
   * @param {number} item 0: the oldest that is not done, as servers without the contract have one at a time
   * @returns {number | undefined}
   */
  of(item) {
    return item ? this.#items.get(item) : this.#items.values().next().value;
  }

  /**
   * A further delta of it: one is a step of 80 ms.
   * @param {number} turn
   * @returns {number} how many there were
   */
  step(turn) {
    const steps = (this.#steps.get(turn) ?? 0) + 1;
    this.#steps.set(turn, steps);
    return steps;
  }

  /**
   * The server has nothing more to say of it.
   * @param {number} turn
   * @returns {number} how many deltas there were
   */
  over(turn) {
    for (const [item, one] of this.#items) if (one === turn) this.#items.delete(item);
    const steps = this.#steps.get(turn) ?? 0;
    this.#steps.delete(turn);
    return steps;
  }
}
