/** The sessions of a node, as the stream tells them: what is known, and which of it is shown in which order. */

/** Ended sessions stay so long, and so many of them. */
export const ENDED_KEPT_MS = 900_000;
export const ENDED_MAX = 200;

export const STATES = ["live", "queued", "parked", "recovering", "detached", "leaving"];

/**
 * @typedef {object} Row
 * @property {string} id
 * @property {string} state of the node's words, or "ended"
 * @property {any} session as the admin API shows it; of one that ended what was known last
 * @property {number} beganMs by the page's clock
 * @property {number | null} endedMs
 * @property {string} outcome empty while it lives
 * @property {string} slowest
 */

/** What a column is sorted by. @type {Record<string, (row: Row, nowMs: number) => string | number>} */
const KEYS = {
  state: (row) => STATES.indexOf(row.state) + (row.state === "ended" ? 100 : 0),
  id: (row) => row.id,
  age: (row, nowMs) => (row.endedMs ?? nowMs) - row.beganMs,
  lag: (row) => row.session.lag_s ?? -1,
  held: (row) => row.session.held_bytes ?? -1,
  server: (row) => (row.session.members ?? []).join(" "),
  via: (row) => row.session.transport ?? "",
  tenant: (row) => row.session.tenant ?? "",
  history: (row) => comebacks(row.session.resumptions),
};

export const COLUMNS = Object.keys(KEYS);

/** @param {Record<string, number>} [resumptions] @returns {number} */
export const comebacks = (resumptions = {}) => Object.values(resumptions).reduce((sum, count) => sum + count, 0);

export class SessionTable {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** All that may be seen, and how many of them are told. */
  total = 0;
  shown = 0;
  sort = { column: "age", descending: true };
  filter = { text: "", state: "" };

  /** @param {string} id @returns {Row | undefined} */
  get(id) {
    return this.#rows.get(id);
  }

  /**
   * What changed.
   * @param {{full: boolean, sessions: any[], removed: string[], total: number, shown: number}} event
   * @param {number} nowMs
   */
  update(event, nowMs) {
    if (event.full) {
      const told = new Set(event.sessions.map((session) => session.id));
      // What comes in further pieces is added by them.
      for (const [id, row] of this.#rows) if (row.endedMs === null && !told.has(id)) this.#rows.delete(id);
    }
    for (const session of event.sessions) this.#put(session, nowMs);
    for (const id of event.removed) {
      const row = this.#rows.get(id);
      if (row && row.endedMs === null) this.#end(row, "", nowMs);
    }
    this.total = event.total;
    this.shown = event.shown;
  }

  #put(session, nowMs) {
    const known = this.#rows.get(session.id);
    // By the age that it had: the node's clock may be another.
    const beganMs = known && known.endedMs === null ? known.beganMs : nowMs - 1000 * session.age_s;
    const row = { id: session.id, state: session.state, session, beganMs, endedMs: null, outcome: "", slowest: "" };
    this.#rows.set(session.id, row);
  }

  #end(row, outcome, endedMs) {
    this.#rows.set(row.id, { ...row, state: "ended", endedMs, outcome: outcome || row.outcome });
  }

  /**
   * Sessions have ended.
   * @param {any[]} sessions as the admin API lists those @param {number} nowMs
   */
  ended(sessions, nowMs) {
    for (const one of sessions) {
      const endedMs = nowMs - 1000 * one.ago_s;
      if (nowMs - endedMs > ENDED_KEPT_MS) continue;
      const known = this.#rows.get(one.id);
      const beganMs = known?.beganMs ?? endedMs - 1000 * one.age_s;
      const session = { members: [], transport: "", ...known?.session, ...one, lag_s: null, held_bytes: null, held_s: null };
      const row = { id: one.id, state: "ended", session, beganMs, endedMs, outcome: one.outcome, slowest: one.slowest };
      this.#rows.set(one.id, row);
    }
    this.forget(nowMs);
  }

  /** What ended long ago, or one time too many. @param {number} nowMs */
  forget(nowMs) {
    const ended = [...this.#rows.values()].filter((row) => row.endedMs !== null);
    ended.sort((one, other) => other.endedMs - one.endedMs);
    for (const [place, row] of ended.entries()) {
      if (place >= ENDED_MAX || nowMs - row.endedMs > ENDED_KEPT_MS) this.#rows.delete(row.id);
    }
  }

  /** How many there are in each state; "" is all that live. @returns {Record<string, number>} */
  counts() {
    const counts = { "": 0, ended: 0 };
    for (const state of STATES) counts[state] = 0;
    for (const row of this.#rows.values()) {
      counts[row.state] = (counts[row.state] ?? 0) + 1;
      if (row.endedMs === null) counts[""] += 1;
    }
    return counts;
  }

  /** The longest lag of those that live. @returns {number} */
  worstLag() {
    let worst = 0;
    for (const row of this.#rows.values()) if (row.endedMs === null) worst = Math.max(worst, row.session.lag_s ?? 0);
    return worst;
  }

  /** Sort by a column; by the same one again the other way round. @param {string} column */
  sortBy(column) {
    const isSame = this.sort.column === column;
    const descending = isSame ? !this.sort.descending : ["age", "lag", "held", "history"].includes(column);
    this.sort = { column, descending };
  }

  /** Those that are shown, in order: those that ended are last. @param {number} nowMs @returns {Row[]} */
  rows(nowMs) {
    const { text, state } = this.filter;
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...this.#rows.values()].filter((row) => (!state || row.state === state) && holds(row, wanted));
    const key = KEYS[this.sort.column];
    const way = this.sort.descending ? -1 : 1;
    const keyed = rows.map((row) => ({ row, key: key(row, nowMs) }));
    keyed.sort((one, other) => {
      const isOver = Number(one.row.endedMs !== null) - Number(other.row.endedMs !== null);
      if (isOver) return isOver;
      // Of those that ended it is the last that one looks for.
      if (one.row.endedMs !== null && this.sort.column === "age") return way * compare(one.row.endedMs, other.row.endedMs) || compare(one.row.id, other.row.id);
      return way * compare(one.key, other.key) || compare(one.row.beganMs, other.row.beganMs) || compare(one.row.id, other.row.id);
    });
    return keyed.map((one) => one.row);
  }
}

const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function holds(row, wanted) {
  if (!wanted.length) return true;
  const { session } = row;
  const text = [
    ...[row.id, row.state, row.outcome, session.tenant, session.pool, session.model, session.transport],
    ...(session.members ?? []),
    session.recovering ?? "",
  ].join("\n").toLowerCase();
  return wanted.every((word) => text.includes(word));
}
