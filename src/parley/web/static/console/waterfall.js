/**
 * A timeline laid out: what went on in which lane from when to when, and what happened when. Knows no document and no
 * pixels; times are seconds since the session began.
 */

/** @typedef {{kind: string, at_s: number, cursor_s: number, facts: Record<string, any>}} Mark */
/** @typedef {{from: number, to: number, tone: string, label: string, name: string, facts: Record<string, any>}} Span */
/** @typedef {{at: number, kind: string, shape: string, tone: string, row: number, mark: Mark}} Point */
/** @typedef {{key: string, label: string, rows: Span[][], points: Point[]}} Lane */

/** Legs and turns that overlap lie in rows below each other, so many at the most. */
const ROWS_MAX = 6;

/** How a mark is drawn: in which lane, as what. @type {Record<string, [string, string, string]>} */
const POINTS = {
  connected: ["client", "tick", "quiet"],
  authenticated: ["client", "tick", "quiet"],
  began: ["client", "dot", "client"],
  detached: ["client", "cross", "bad"],
  attached: ["client", "dot", "client"],
  moved: ["client", "square", "quiet"],
  ended: ["client", "square", "quiet"],
  "first-audio-in": ["client", "tick", "client"],
  "first-audio-out": ["legs", "tick", "leg"],
  "leg-failed": ["legs", "cross", "bad"],
  "turn-first-text": ["turns", "text", "turn"],
  "turn-final": ["turns", "diamond", "turn"],
  "turn-failed": ["turns", "cross", "bad"],
  "turn-dropped": ["turns", "cross", "quiet"],
  dropped: ["gateway", "cross", "bad"],
  lagging: ["gateway", "triangle", "warn"],
  "high-water": ["gateway", "triangle", "warn"],
  "drain-started": ["gateway", "dot", "quiet"],
  "drain-cancelled": ["gateway", "dot", "quiet"],
  recovering: ["gateway", "cross", "warn"],
  recovered: ["gateway", "dot", "good"],
};

const LABELS = { client: "client", gateway: "gateway", legs: "legs", turns: "turns" };

/**
 * The lanes of a timeline: those in which anything happened.
 * @param {{age_s: number, ended: boolean, marks: Mark[]}} timeline
 * @returns {Lane[]}
 */
export function lanesOf(timeline) {
  const end = Math.max(timeline.age_s, ...timeline.marks.map((mark) => mark.at_s), 0.001);
  const spans = { client: clientSpans(timeline.marks, end), gateway: gatewaySpans(timeline.marks, end) };
  const numbered = { legs: legSpans(timeline.marks, end), turns: turnSpans(timeline.marks, end) };
  const lanes = [];
  for (const key of /** @type {const} */ (["client", "gateway", "legs", "turns"])) {
    const groups = numbered[key] ?? spans[key].map((span) => ({ number: 0, spans: [span] }));
    const { rows, rowOf } = packed(groups);
    const points = timeline.marks.flatMap((mark) => pointOf(mark, key, rowOf));
    if (rows.length || points.length) lanes.push({ key, label: LABELS[key], rows: rows.length ? rows : [[]], points });
  }
  return lanes;
}

function pointOf(mark, lane, rowOf) {
  const drawn = POINTS[mark.kind];
  if (!drawn || drawn[0] !== lane) return [];
  const row = rowOf.get(mark.facts.turn ?? mark.facts.leg) ?? 0;
  return [{ at: mark.at_s, kind: mark.kind, shape: drawn[1], tone: drawn[2], row, mark }];
}

/**
 * Groups of spans in as few rows as there is no overlap in; what finds none goes into the last.
 * @param {{number: number, spans: Span[]}[]} groups by when they begin
 */
function packed(groups) {
  /** @type {Span[][]} */
  const rows = [];
  const until = [];
  const rowOf = new Map();
  for (const { number, spans } of groups) {
    if (!spans.length) continue;
    const from = spans[0].from;
    let row = until.findIndex((free) => free <= from + 1e-9);
    if (row < 0) row = Math.min(rows.length, ROWS_MAX - 1);
    rows[row] = [...(rows[row] ?? []), ...spans];
    until[row] = Math.max(until[row] ?? 0, spans[spans.length - 1].to);
    rowOf.set(number, row);
  }
  return { rows, rowOf };
}

const span = (from, to, tone, name, label = "", facts = {}) => ({ from, to, tone, name, label, facts });

function clientSpans(marks, end) {
  const found = [];
  let from = 0;
  let isThere = true;
  const close = (at) => {
    if (at > from) found.push(isThere ? span(from, at, "client", "client attached") : span(from, at, "away", "client away", "away"));
    from = at;
  };
  for (const mark of marks) {
    if (mark.kind === "detached" && isThere) {
      close(mark.at_s);
      isThere = false;
    } else if (mark.kind === "attached" && !isThere) {
      close(mark.at_s);
      isThere = true;
    } else if (mark.kind === "ended" || mark.kind === "moved") {
      close(mark.at_s);
      return found;
    }
  }
  close(end);
  return found;
}

/** What holds a session up here, by the mark that begins it: what ends it, and what it is called. */
const HELD_UP = {
  queued: ["admitted", "wait", "queued for a stream", "queued"],
  recovering: ["recovered", "warn", "looking for another stream", "recovering"],
  "input-paused": ["input-resumed", "warn", "client told to wait", "input paused"],
  "output-blocked": ["output-unblocked", "warn", "client does not read", "output blocked"],
  "leg-blocked": ["leg-unblocked", "warn", "model server does not read", "leg blocked"],
};

function gatewaySpans(marks, end) {
  const open = new Map();
  const found = [];
  const over = marks.find((mark) => mark.kind === "ended" || mark.kind === "moved")?.at_s ?? end;
  for (const mark of marks) {
    if (HELD_UP[mark.kind] && !open.has(mark.kind)) open.set(mark.kind, mark);
    for (const [kind, begun] of open) {
      const isFailed = kind === "queued" && mark.kind === "leg-failed";
      if (mark.kind !== HELD_UP[kind][0] && !isFailed) continue;
      open.delete(kind);
      found.push(heldUp(kind, begun, mark.at_s, mark.facts));
    }
  }
  for (const [kind, begun] of open) found.push(heldUp(kind, begun, over, {}));
  return found.sort((one, other) => one.from - other.from);
}

const heldUp = (kind, begun, to, facts) =>
  span(begun.at_s, to, HELD_UP[kind][1], HELD_UP[kind][2], HELD_UP[kind][3], { ...begun.facts, ...facts });

function legSpans(marks, end) {
  const legs = new Map();
  const over = marks.find((mark) => mark.kind === "ended" || mark.kind === "moved")?.at_s ?? end;
  for (const mark of marks) {
    const number = mark.facts.leg;
    const leg = legs.get(number);
    if (mark.kind === "leg-asked") legs.set(number, { asked: mark, opened: null, closed: null });
    else if (!leg) continue;
    else if (mark.kind === "leg-opened") leg.opened = mark;
    else if ((mark.kind === "leg-failed" || mark.kind === "leg-closed") && !leg.closed) leg.closed = mark;
  }
  return [...legs].map(([number, { asked, opened, closed }]) => {
    const to = closed?.at_s ?? over;
    // The number is in its name.
    const { leg: _, ...facts } = { ...asked.facts, ...opened?.facts, ...closed?.facts };
    const opening = span(asked.at_s, opened?.at_s ?? to, "opening", `leg ${number} being opened`, "", facts);
    if (!opened) return { number, spans: [opening] };
    return { number, spans: [opening, span(opened.at_s, to, "leg", `leg ${number}`, `${number}`, facts)] };
  });
}

const TURN_OVER = new Set(["turn-final", "turn-failed", "turn-dropped"]);

function turnSpans(marks, end) {
  const turns = new Map();
  const over = marks.find((mark) => mark.kind === "ended" || mark.kind === "moved")?.at_s ?? end;
  for (const mark of marks) {
    const number = mark.facts.turn;
    const turn = turns.get(number);
    if (mark.kind === "turn-began") turns.set(number, { began: mark, spoken: null, over: null, facts: {} });
    else if (!turn) continue;
    else {
      if (mark.kind === "turn-speech-ended") turn.spoken = mark;
      if (TURN_OVER.has(mark.kind)) turn.over = mark;
      const { turn: _, after_s: after, ...rest } = mark.facts;
      turn.facts = { ...turn.facts, ...rest, ...(after === undefined ? {} : { [AFTER[mark.kind] ?? "after_s"]: after }) };
    }
  }
  return [...turns].map(([number, turn]) => {
    const to = turn.over?.at_s ?? over;
    const spoken = Math.min(turn.spoken?.at_s ?? to, to);
    const { facts } = turn;
    const speaking = span(turn.began.at_s, spoken, "turn", `turn ${number}`, `${number}`, facts);
    if (spoken >= to) return { number, spans: [speaking] };
    return { number, spans: [speaking, span(spoken, to, "waiting", `turn ${number}, its speech over`, "", facts)] };
  });
}

const AFTER = { "turn-first-text": "first_text_after_s", "turn-final": "final_after_s" };

/**
 * How much audio had come at a time: between marks as if it came evenly.
 * @param {Mark[]} marks in order @param {number} at @param {number} ageS
 * @param {number} receivedS in all
 * @returns {number}
 */
export function cursorAt(marks, at, ageS, receivedS) {
  let before = { at_s: 0, cursor_s: 0 };
  for (const mark of [...marks, { at_s: ageS, cursor_s: Math.max(receivedS, marks.at(-1)?.cursor_s ?? 0) }]) {
    if (mark.at_s >= at) {
      const width = mark.at_s - before.at_s;
      const part = width > 0 ? Math.max(0, (at - before.at_s) / width) : 1;
      return before.cursor_s + part * (mark.cursor_s - before.cursor_s);
    }
    before = mark;
  }
  return before.cursor_s;
}

/** The narrowest that a window may be, in seconds. */
const WINDOW_MIN_S = 0.02;

/** @typedef {{from: number, to: number}} Window */

/** All of it: from the first mark, which may be before the session began. @param {any} timeline @returns {Window} */
export function whole(timeline) {
  const first = Math.min(0, ...timeline.marks.map((mark) => mark.at_s));
  return { from: first, to: Math.max(timeline.age_s, first + 0.1) };
}

/** Around its middle. @param {Window} view @param {number} factor under 1: nearer @param {Window} all @returns {Window} */
export function zoomed(view, factor, all) {
  const middle = (view.from + view.to) / 2;
  const half = Math.max(WINDOW_MIN_S / 2, ((view.to - view.from) * factor) / 2);
  return kept({ from: middle - half, to: middle + half }, all);
}

/** @param {Window} view @param {number} share of its width @param {Window} all @returns {Window} */
export function panned(view, share, all) {
  const by = (view.to - view.from) * share;
  return kept({ from: view.from + by, to: view.to + by }, all);
}

/** Inside of all, as wide as it was where that is possible. @param {Window} view @param {Window} all @returns {Window} */
export function kept(view, all) {
  const width = Math.min(view.to - view.from, all.to - all.from);
  const from = Math.min(Math.max(view.from, all.from), all.to - width);
  return { from, to: from + width };
}
