/** One session: where its time goes, what happened, its facts, and what may be done with it. */

import { Refused, inWords } from "./api.js";
import { byId, make, setAttribute, setPairs, setShare, setText } from "./dom.js";
import { age, counted, duration, fact, factName, lag, size, words } from "./format.js";
import { historyWords, toneOf } from "./sessions_view.js";
import { TimelineView } from "./timeline_view.js";

const REFRESH_MS = 2_000;
const PLACES = [
  ["client_link_s", "client-link", "client link"],
  ["gateway_s", "gateway", "gateway"],
  ["upstream_link_s", "upstream-link", "upstream link"],
  ["model_s", "model", "model"],
];
/** A place's bar is as long as this, at the least, when it is full. */
const PLACES_LEAST_S = 0.1;
const PAGES_MAX = 100;

/** Where the time goes, in a sentence. @param {any} places @returns {string} */
export function placesWords(places) {
  const slowest = PLACES.find(([, name]) => name === places.slowest);
  if (slowest) return `Slowest: the ${slowest[2]}, ${duration(places[slowest[0]])}.`;
  return PLACES.some(([key]) => places[key] !== null) ? "No place takes a notable time." : "Nothing is measured yet.";
}

export class DetailView {
  #api;
  #table;
  #drawn = new TimelineView();
  #id = "";
  /** @type {string[]} */
  #may = [];
  #seen = "";
  #askedMs = 0;
  #marks = 0;
  #isAsking = false;
  #isFinal = false;

  /** @param {import("./api.js").Api} api @param {import("./session_table.js").SessionTable} table */
  constructor(api, table) {
    this.#api = api;
    this.#table = table;
    byId("said-button").addEventListener("click", () => this.#toggleSaid());
  }

  get id() {
    return this.#id;
  }

  /** @param {string} id empty for none */
  open(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.#may = [];
    this.#seen = "";
    this.#marks = -1;
    this.#isFinal = false;
    this.#drawn.clear();
    this.#hideSaid();
    byId("detail").hidden = !id;
    byId("detail").removeAttribute("data-unknown");
    document.body.toggleAttribute("data-detail", Boolean(id));
    byId("detail-problem").hidden = true;
    setText(byId("detail-state"), "…");
    for (const list of ["places", "facts", "marks"]) byId(list).replaceChildren();
    setText(byId("places-words"), "");
    setText(byId("timeline-note"), "");
    setText(byId("marks-count"), "");
    if (!id) return;
    setText(byId("detail-title"), id);
    setText(byId("detail-since"), "");
    this.#showHead();
    this.#showActions();
    this.#ask();
    this.#askMay();
  }

  /** The list changed, or a second went by. */
  refresh() {
    if (!this.#id) return;
    this.#showHead();
    this.#showActions();
    const row = this.#table.get(this.#id);
    const seen = row ? `${row.state} ${JSON.stringify({ ...row.session, age_s: 0 })}` : "";
    const isDue = seen !== this.#seen && Date.now() - this.#askedMs >= REFRESH_MS;
    if (isDue && !this.#isFinal && !document.hidden) {
      this.#seen = seen;
      this.#ask();
    }
  }

  #showHead() {
    const row = this.#table.get(this.#id);
    const pill = byId("detail-state");
    setAttribute(pill, "data-tone", row ? toneOf(row) : "quiet");
    if (!row) return;
    setText(pill, row.endedMs === null ? row.state : words(row.outcome || "ended"));
    const began = new Date(row.beganMs).toLocaleTimeString("en-GB");
    const lasted = age(((row.endedMs ?? Date.now()) - row.beganMs) / 1000);
    setText(byId("detail-since"), row.endedMs === null ? `since ${began}, for ${lasted}` : `began ${began}, lasted ${lasted}`);
  }

  #showActions() {
    const isLive = this.#table.get(this.#id)?.endedMs === null;
    byId("end-button").hidden = !isLive || !this.#may.includes("end");
    byId("move-button").hidden = !isLive || !this.#may.includes("move");
    byId("said-section").hidden = !this.#may.includes("read");
  }

  async #askMay() {
    const id = this.#id;
    try {
      const { session } = await this.#api.get(`me?session=${encodeURIComponent(id)}`);
      if (id === this.#id) this.#may = session;
    } catch {
      // Nothing is offered then; the timeline says what is wrong.
    }
    if (id === this.#id) this.#showActions();
  }

  async #ask() {
    if (this.#isAsking) return;
    const id = this.#id;
    this.#isAsking = true;
    this.#askedMs = Date.now();
    let problem = "";
    let isUnknown = false;
    try {
      const timeline = await this.#api.get(`sessions/${encodeURIComponent(id)}/timeline`);
      if (id === this.#id) this.#show(timeline);
    } catch (error) {
      isUnknown = error instanceof Refused && error.code === "session-not-found";
      problem = isUnknown ? "This node knows no such session, or no more: what happened in one is kept for an hour." : inWords(error);
    } finally {
      this.#isAsking = false;
    }
    if (id !== this.#id) {
      if (this.#id) this.#ask();
      return;
    }
    byId("detail").toggleAttribute("data-unknown", isUnknown);
    if (isUnknown && !this.#table.get(id)) setText(byId("detail-state"), "unknown");
    byId("detail-problem").hidden = !problem;
    setText(byId("detail-problem"), problem);
  }

  #show(timeline) {
    this.#isFinal = timeline.ended;
    // Marks tell how much audio had come by then, the list how much has come by now.
    const receivedS = Math.max(timeline.totals.received_s, this.#table.get(this.#id)?.session.received_s ?? 0);
    timeline.totals.received_s = receivedS;
    this.#drawn.show(timeline);
    this.#showPlaces(timeline.places);
    setPairs(byId("facts"), factsOf(timeline, this.#table.get(this.#id)?.session ?? {}));
    this.#showMarks(timeline);
    const { after, count } = timeline.left_out;
    setText(byId("timeline-note"), count ? `${counted(count, "mark")} behind the first ${after} are not kept.` : "");
    if (!this.#table.get(this.#id)) {
      setText(byId("detail-state"), words(timeline.outcome || "…"));
      setText(byId("detail-since"), `${timeline.ended ? "lasted" : "for"} ${age(timeline.age_s)}`);
    }
  }

  #showPlaces(places) {
    setText(byId("places-words"), placesWords(places));
    const full = Math.max(PLACES_LEAST_S, ...PLACES.map(([key]) => places[key] ?? 0));
    const list = byId("places");
    for (const [number, [key, name, shown]] of PLACES.entries()) {
      const bar = () => make("div", { class: "meter" }, make("div", { class: "meter-fill" }));
      const item = list.children[number] ?? list.appendChild(make("div", { class: "place" }, make("dt", {}, shown), make("dd", {}, bar(), make("span", { class: "number" }))));
      setAttribute(item, "data-slowest", places.slowest === name ? "" : null);
      setShare(item.querySelector(".meter-fill"), (places[key] ?? 0) / full);
      setText(item.querySelector(".number"), places[key] === null ? "not measured" : duration(places[key]));
    }
  }

  #showMarks({ marks }) {
    setText(byId("marks-count"), String(marks.length));
    // What is there already does not change; more comes behind it, until some are left out.
    const isLonger = this.#marks >= 0 && marks.length > this.#marks;
    if (marks.length === this.#marks && marks.length < 512) return;
    const body = byId("marks");
    if (!isLonger) body.replaceChildren();
    body.append(...marks.slice(body.children.length).map(markRow));
    this.#marks = marks.length;
  }

  // ---- what was said

  async #toggleSaid() {
    const button = byId("said-button");
    if (button.getAttribute("aria-expanded") === "true") {
      this.#hideSaid();
      return;
    }
    const id = this.#id;
    button.disabled = true;
    const note = byId("said-note");
    try {
      const { turns, complete } = await this.#readSaid(id);
      if (id !== this.#id) return;
      byId("said").replaceChildren(...turns.map(saidTurn));
      byId("said").hidden = false;
      button.setAttribute("aria-expanded", "true");
      setText(button, "Hide what was said");
      setText(note, turns.length ? (complete ? "" : "Up to here; the session may go on.") : "Nothing was said yet.");
    } catch (error) {
      if (id === this.#id) setText(note, inWords(error));
    } finally {
      button.disabled = false;
    }
  }

  async #readSaid(id) {
    const turns = [];
    let page = { next: 0, complete: false, turns: [] };
    for (let number = 0; number < PAGES_MAX; number += 1) {
      page = await this.#api.get(`sessions/${encodeURIComponent(id)}/transcript?after=${page.next}`);
      turns.push(...page.turns);
      if (!page.next) break;
    }
    return { turns, complete: page.complete };
  }

  #hideSaid() {
    byId("said").replaceChildren();
    byId("said").hidden = true;
    byId("said-button").setAttribute("aria-expanded", "false");
    setText(byId("said-button"), "Show what was said");
    setText(byId("said-note"), "It is what is kept of the session. That you read it is written to the audit log.");
  }
}

const saidTurn = (turn) =>
  make("li", {}, make("span", { class: "tabular said-at" }, age(turn.begin_ms / 1000)), make("span", {}, turn.text || "–"));

function markRow(mark) {
  const facts = Object.entries(mark.facts).map(([name, value]) => `${factName(name)} ${fact(name, value)}`);
  return make("tr", {}, make("td", { class: "number" }, duration(mark.at_s)), make("td", { class: "number" }, duration(mark.cursor_s)), make("td", {}, words(mark.kind)), make("td", { class: "why" }, facts.join(", ")));
}

/** What is told of a session in words and numbers. @returns {[string, string][]} */
function factsOf({ session, totals }, row) {
  const known = (name, value) => (value ? [[name, value]] : []);
  return [
    ["tenant", session.tenant || "–"],
    ["via", row.transport || session.transport || "–"],
    ["model", `${session.model || "–"} (${session.pool})`],
    ["model server", (row.members ?? []).join(", ") || "–"],
    ["audio came", lag(totals.received_s)],
    ...(row.lag_s === null || row.lag_s === undefined ? [] : [["lag", lag(row.lag_s)], ["waits here", `${lag(row.held_s)}, ${size(row.held_bytes)}`]]),
    ["most that waited", `${lag(totals.held_s_most)}, ${size(totals.held_bytes_most)}`],
    ["first text after", duration(totals.first_text_after_s)],
    ["slowest final", duration(totals.final_s_most || null)],
    ["turns", totals.turns_failed ? `${totals.turns}, ${totals.turns_failed} failed` : `${totals.turns}`],
    ["legs", totals.legs_failed ? `${totals.legs}, ${totals.legs_failed} failed` : `${totals.legs}`],
    ...known("waited for a stream", totals.queued_s ? duration(totals.queued_s) : ""),
    ...known("dropped", totals.dropped_s ? duration(totals.dropped_s) : ""),
    ...known("heard again", totals.replayed_s ? duration(totals.replayed_s) : ""),
    ...known("may be missing", totals.lost_s ? duration(totals.lost_s) : ""),
    ...known("client away", totals.away_s ? duration(totals.away_s) : ""),
    ...known("recovering", totals.recovering_s ? duration(totals.recovering_s) : ""),
    ...known("input paused", totals.input_paused_s ? duration(totals.input_paused_s) : ""),
    ...known("output blocked", totals.output_blocked_s ? duration(totals.output_blocked_s) : ""),
    ...known("history", historyWords(totals.resumptions)),
  ];
}
