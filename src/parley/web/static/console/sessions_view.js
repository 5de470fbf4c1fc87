/** The table of sessions: rows that stay where they are while one reads or is about to click. */

import { byId, make, setAttribute, setText } from "./dom.js";
import { age, counted, lag, shortId, size, words } from "./format.js";
import { STATES, comebacks } from "./session_table.js";

const TONES = { live: "good", queued: "warn", parked: "quiet", recovering: "bad", detached: "warn", leaving: "leaving" };

const HEADS = [
  ["state", "State", ""],
  ["id", "Session", ""],
  ["age", "Age", "number"],
  ["lag", "Lag", "number"],
  ["held", "Held", "number held"],
  ["server", "Model server", "server"],
  ["via", "Via", "via"],
  ["tenant", "Tenant", "tenant"],
  ["history", "History", ""],
];
const GLYPHS = { resumed: ["●", "good"], rehydrated: ["◐", "warn"], restarted: ["○", "bad"] };
const GLYPHS_MAX = 6;
const PAGE_ROWS = 10;
/** A browser lays a table out anew with each number that changes in it: so many rows at a time. */
const ROWS_MAX = 200;
/** Behind so far, in seconds, is worth a look, and worth being up for. */
const LAG_WARN_S = 2;
const LAG_BAD_S = 5;

/** Ends that nobody needs to look at. */
const CALM = new Set(["", "client-ended", "client-closed", "moved", "ended-by-operator", "shutting-down", "idle-timeout"]);

/** What a session's pill looks like. @param {import("./session_table.js").Row} row @returns {string} */
export function toneOf(row) {
  if (row.endedMs !== null) return CALM.has(row.outcome) ? "over" : "over-bad";
  return TONES[row.state] ?? "quiet";
}

/** How its client came back, as glyphs. @param {Record<string, number>} resumptions @returns {{glyph: string, tone: string}[]} */
export function glyphs(resumptions = {}) {
  const found = Object.entries(resumptions).flatMap(([outcome, count]) => {
    const [glyph, tone] = GLYPHS[outcome] ?? ["×", "bad"];
    return Array.from({ length: Math.min(count, GLYPHS_MAX) }, () => ({ glyph, tone }));
  });
  return found.slice(0, GLYPHS_MAX);
}

/** The same in words. @param {Record<string, number>} resumptions @returns {string} */
export function historyWords(resumptions = {}) {
  const parts = Object.entries(resumptions).filter(([, count]) => count).map(([outcome, count]) => `${count} ${words(outcome)}`);
  return parts.length ? `Client came back: ${parts.join(", ")}` : "";
}

export class SessionsView {
  #table;
  #choose;
  /** @type {Map<string, any>} */
  #rows = new Map();
  #chosen = "";
  #isOrderDue = true;
  #most = ROWS_MAX;
  #chips = new Map();

  /** @param {import("./session_table.js").SessionTable} table @param {(id: string) => void} choose */
  constructor(table, choose) {
    this.#table = table;
    this.#choose = choose;
    this.#makeHead();
    this.#makeChips();
    const body = byId("sessions-body");
    body.addEventListener("click", (event) => {
      const row = /** @type {Element} */ (event.target).closest("tr");
      if (row && !getSelection()?.toString()) choose(row.dataset.id);
    });
    body.addEventListener("keydown", (event) => this.#key(event));
    byId("sessions-more").addEventListener("click", () => {
      this.#most += ROWS_MAX;
      this.render();
    });
    byId("search").addEventListener("input", () => {
      table.filter.text = byId("search").value;
      this.render();
    });
  }

  #makeHead() {
    const heads = HEADS.map(([column, label, kind]) => {
      const button = make("button", { class: "sort", type: "button" }, label);
      button.addEventListener("click", () => {
        this.#table.sortBy(column);
        this.#isOrderDue = true;
        this.render();
      });
      return make("th", { scope: "col", class: kind || null, "data-column": column }, button);
    });
    byId("sessions-head").replaceChildren(...heads);
  }

  #makeChips() {
    for (const state of ["", ...STATES, "ended"]) {
      const count = make("span", { class: "count" }, "0");
      const chip = make("button", { class: "chip", type: "button", "aria-pressed": "false" }, state || "all", " ", count);
      chip.addEventListener("click", () => {
        this.#table.filter.state = state;
        this.#isOrderDue = true;
        this.render();
      });
      chip.hidden = Boolean(state);
      this.#chips.set(state, { chip, count });
    }
    byId("states").replaceChildren(...[...this.#chips.values()].map(({ chip }) => chip));
  }

  /** Which one the pane beside shows. @param {string} id empty for none */
  mark(id) {
    this.#chosen = id;
    for (const [other, row] of this.#rows) this.#showChosen(row, other);
  }

  /** Where the keyboard goes on when the pane is closed. @param {string} id */
  focus(id) {
    const row = this.#rows.get(id) ?? this.#rows.values().next().value;
    row?.button.focus();
  }

  /** Everything that changed. */
  render() {
    const nowMs = Date.now();
    const found = this.#table.rows(nowMs);
    const rows = found.slice(0, this.#most);
    byId("sessions-more").hidden = rows.length === found.length;
    setText(byId("sessions-more"), `Show more of ${counted(found.length, "session")}`);
    const shown = new Set(rows.map((row) => row.id));
    for (const [id, row] of this.#rows) {
      if (shown.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    for (const row of rows) {
      if (!this.#rows.has(row.id)) this.#rows.set(row.id, this.#make(row.id));
      this.#fill(this.#rows.get(row.id), row, nowMs);
    }
    this.#place(rows);
    this.#showHead();
    this.#showNotes(rows.length);
  }

  /** What changes by itself. */
  tick() {
    const nowMs = Date.now();
    for (const [id, { age: cell }] of this.#rows) {
      const row = this.#table.get(id);
      if (row && row.endedMs === null) setText(cell, age((nowMs - row.beganMs) / 1000));
    }
  }

  #make(id) {
    const cell = (kind = "") => make("td", kind ? { class: kind } : {});
    const pill = make("span", { class: "pill pill-small" });
    const button = make("button", { class: "row-button mono", type: "button", tabindex: "-1", title: id }, shortId(id));
    const row = { pill, button, age: cell("number"), lag: cell("number"), held: cell("number held"), server: cell("server mono"), via: cell("via"), tenant: cell("tenant"), history: cell("history") };
    const { server, via, tenant, history } = row;
    const name = make("th", { scope: "row" }, button);
    const element = make("tr", { "data-id": id }, make("td", {}, pill), name, row.age, row.lag, row.held, server, via, tenant, history);
    return { ...row, element, marks: "" };
  }

  #fill(row, known, nowMs) {
    const { session } = known;
    const isOver = known.endedMs !== null;
    setText(row.pill, isOver ? words(known.outcome || "ended") : known.state);
    setAttribute(row.pill, "data-tone", toneOf(known));
    setAttribute(row.element, "data-over", isOver ? "" : null);
    setText(row.age, age(((known.endedMs ?? nowMs) - known.beganMs) / 1000));
    setAttribute(row.age, "title", isOver ? `ended at ${new Date(known.endedMs).toLocaleTimeString("en-GB")}` : null);
    const lagS = session.lag_s;
    setText(row.lag, lagS === null || lagS === undefined ? "" : lag(lagS));
    setAttribute(row.lag, "data-tone", lagS > LAG_BAD_S ? "bad" : lagS > LAG_WARN_S ? "warn" : null);
    setText(row.held, isOver ? "" : heldWords(session));
    setAttribute(row.held, "title", isOver ? null : `${session.held_s} s of audio wait for the model; ${size(session.held_bytes)} are kept in memory`);
    setText(row.server, (session.members ?? []).join(", ") || "–");
    setText(row.via, session.transport || "–");
    setText(row.tenant, session.tenant || "–");
    this.#fillHistory(row, session.resumptions ?? {});
    this.#showChosen(row, known.id);
  }

  #fillHistory(row, resumptions) {
    const told = historyWords(resumptions);
    if (row.marks === told) return;
    row.marks = told;
    const marks = glyphs(resumptions).map(({ glyph, tone }) => make("span", { "data-tone": tone }, glyph));
    const rest = comebacks(resumptions) - marks.length;
    if (rest > 0) marks.push(make("span", {}, `+${rest}`));
    row.history.replaceChildren(make("span", { class: "glyphs", "aria-hidden": "true" }, ...marks), make("span", { class: "unseen" }, told));
    row.history.title = told;
  }

  #showChosen(row, id) {
    setAttribute(row.button, "aria-current", id === this.#chosen ? "true" : null);
    setAttribute(row.element, "data-chosen", id === this.#chosen ? "" : null);
  }

  /** In order; while somebody points or types there, what is new comes behind those that live and nothing else moves. */
  #place(rows) {
    const body = byId("sessions-body");
    const isHeld = !this.#isOrderDue && (body.matches(":hover") || body.contains(document.activeElement));
    if (isHeld) {
      for (const { id } of rows) {
        const { element } = this.#rows.get(id);
        if (!element.isConnected) body.insertBefore(element, body.querySelector("tr[data-over]"));
      }
    } else {
      for (const [place, { id }] of rows.entries()) {
        const { element } = this.#rows.get(id);
        if (body.children[place] !== element) body.insertBefore(element, body.children[place] ?? null);
      }
      this.#isOrderDue = false;
    }
    this.#keepOneTabStop(body);
  }

  #keepOneTabStop(body) {
    const current = body.querySelector('.row-button[tabindex="0"]');
    const wanted = body.contains(document.activeElement) ? document.activeElement : body.querySelector('[aria-current="true"]') ?? current ?? body.querySelector(".row-button");
    if (wanted === current) return;
    current?.setAttribute("tabindex", "-1");
    wanted?.setAttribute("tabindex", "0");
  }

  #showHead() {
    const { column, descending } = this.#table.sort;
    for (const head of byId("sessions-head").children) {
      const isSorted = head.dataset.column === column;
      setAttribute(head, "aria-sort", isSorted ? (descending ? "descending" : "ascending") : "none");
    }
    const counts = this.#table.counts();
    for (const [state, { chip, count }] of this.#chips) {
      setText(count, String(counts[state] ?? 0));
      chip.setAttribute("aria-pressed", String(this.#table.filter.state === state));
      chip.hidden = Boolean(state) && !counts[state] && this.#table.filter.state !== state;
    }
  }

  #showNotes(count) {
    const { total, shown, filter } = this.#table;
    const note = byId("sessions-note");
    note.hidden = shown >= total;
    setText(note, `${counted(total, "session")} live here; shown are the ${shown.toLocaleString("en")} oldest. parley sessions lists all.`);
    const empty = byId("sessions-empty");
    empty.hidden = count > 0;
    setText(empty, filter.text || filter.state ? "No session is like that." : "No sessions. They appear here as clients connect.");
  }

  #key(event) {
    const button = /** @type {Element} */ (event.target).closest(".row-button");
    if (!button) return;
    const buttons = [...byId("sessions-body").querySelectorAll(".row-button")];
    const place = buttons.indexOf(button);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_ROWS, PageUp: -PAGE_ROWS, Home: -place, End: buttons.length };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = buttons[Math.min(buttons.length - 1, Math.max(0, place + step))];
    button.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
    if (this.#chosen) this.#choose(next.closest("tr").dataset.id);
  }
}

/** What it holds: audio that waits, and all that it keeps. */
function heldWords(session) {
  const audio = session.held_s >= 0.05 ? `${lag(session.held_s)} · ` : "";
  return `${audio}${size(session.held_bytes)}`;
}
