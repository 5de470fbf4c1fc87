/**
 * What was said, turn by turn, as pieces come and are revised. Text settles once it is a while old, and with the end of
 * its turn; until then it is partial, which a reader may be shown. Positions are milliseconds of the recording.
 */

/** How long a piece is partial. Servers may still revise it later, which is rare and told. */
export const SETTLE_MS = 1_600;
/** How fast people speak: places a word's beginning where only its end is known. */
export const SPEECH_CHARACTERS_A_MS = 0.014;
/** Turns that are kept; of more the oldest go. */
const TURNS_MAX = 10_000;

/** @typedef {{text: string, heardMs: number, arrivedMs: number}} Piece heardMs: of the turn's audio, once it was heard */

/** One turn; its numbers are given by whoever records. */
export class Turn {
  /** @type {Piece[]} */
  pieces = [];
  text = "";
  endMs = null;
  isDone = false;
  hasFailed = false;
  hasExactTimes = true;
  revisions = 0;
  #before = "";
  #spokenBeforeMs = null;
  #hasGap = false;

  constructor(id, startMs) {
    this.id = id;
    this.startMs = startMs;
  }

  /** Where its first word begins, as well as that is known. */
  get spokenMs() {
    const [first] = this.pieces;
    if (!first) return this.#spokenBeforeMs ?? this.startMs;
    const beganMs = first.heardMs - first.text.trim().length / SPEECH_CHARACTERS_A_MS;
    return this.startMs + Math.max(0, Math.min(beganMs, this.lengthMs ?? beganMs));
  }

  /** Null while it is going on. */
  get lengthMs() {
    return this.endMs === null ? null : this.endMs - this.startMs;
  }

  /** Whether there is anything to show. */
  get isEmpty() {
    return (this.text || this.#before).trim() === "";
  }

  /**
   * Its text in two parts: what is settled, and what is not yet.
   * @param {number} nowMs
   * @returns {{settled: string, partial: string}}
   */
  shown(nowMs) {
    if (this.isDone || this.hasFailed) return { settled: this.text.trimStart(), partial: "" };
    // Heard again: the words that were there stay until there are as many new ones.
    if (this.text.length < this.#before.length) return { settled: "", partial: this.#before.trimStart() };
    let length = 0;
    for (const piece of this.pieces) {
      if (nowMs - piece.arrivedMs < SETTLE_MS) break;
      length += piece.text.length;
    }
    length = wholeWords(this.text, length);
    return { settled: this.text.slice(0, length).trimStart(), partial: trimmedAfter(this.text, length) };
  }

  /** @param {Piece} piece */
  add(piece) {
    if (!piece.text) return;
    this.pieces.push(piece);
    this.text += piece.text;
  }

  /** Characters `start` to `end`, code points, are now `text`. */
  revise(start, end, text, arrivedMs) {
    if (this.#hasGap) return;
    this.pieces = revised(this.pieces, start, end, text, arrivedMs);
    this.text = this.pieces.map((piece) => piece.text).join("");
    this.revisions += 1;
  }

  /** Its end. `isWhole` is false for a text that lacks what the pieces have. */
  finish(text, { hasExactTimes, isWhole }, arrivedMs) {
    this.isDone = true;
    this.hasExactTimes = hasExactTimes;
    this.#before = "";
    if (!isWhole || text.trimStart() === this.text.trimStart()) return;
    this.text = text;
    this.hasExactTimes = false;
    this.pieces = text ? [{ text, heardMs: this.lengthMs ?? 0, arrivedMs }] : [];
  }

  /** It gets no end: what came of it stays. */
  fail() {
    this.hasFailed = true;
    this.text ||= this.#before;
  }

  /** All of it is heard again. */
  again() {
    this.#spokenBeforeMs = this.spokenMs;
    this.#before = this.text || this.#before;
    this.pieces = [];
    this.text = "";
    this.#hasGap = false;
  }

  /** Text did not come that its end will have: revisions can't be counted until then. */
  lackText() {
    this.#hasGap = true;
  }
}

export class Transcript {
  /** @type {Map<number, Turn>} */
  #turns = new Map();
  #marks = [];
  #count = 0;
  /** How much was recorded. */
  lengthMs = 0;

  /** @returns {Turn[]} those that have text, in order */
  get turns() {
    return [...this.#turns.values()].filter((turn) => !turn.isEmpty);
  }

  /** Where words may be missing: `{atMs, toMs, id}`, in order. */
  get marks() {
    return this.#marks;
  }

  get isEmpty() {
    return this.turns.length === 0;
  }

  /** A turn begins here. @returns {Turn} */
  begin(atMs) {
    this.#count += 1;
    const turn = new Turn(this.#count, atMs);
    this.#turns.set(turn.id, turn);
    if (this.#turns.size > TURNS_MAX) this.#turns.delete(this.#turns.keys().next().value);
    return turn;
  }

  /** @param {number} id @returns {Turn | undefined} */
  turn(id) {
    return this.#turns.get(id);
  }

  /**
   * Take what a session tells.
   * @param {any} event
   * @param {number} nowMs
   * @returns {Turn[]} the turns whose text is another now
   */
  apply(event, nowMs) {
    if (event.type === "restarted") return this.#again(event.turns);
    if (event.type === "gap" && event.reason === "slow-client") {
      for (const turn of this.#turns.values()) if (!turn.isDone) turn.lackText();
    }
    if (event.type === "ended") return event.turns.map((id) => this.#failed(id)).filter(Boolean);
    const turn = this.#turns.get(event.turn);
    if (!turn) return [];
    if (event.type === "delta") turn.add({ text: event.text, heardMs: event.heardMs, arrivedMs: nowMs });
    else if (event.type === "done") turn.finish(event.text, event, nowMs);
    else if (event.type === "revised") turn.revise(event.start, event.end, event.text, nowMs);
    else if (event.type === "turnFailed") turn.fail();
    else if (event.type === "voided") this.#turns.delete(turn.id);
    else return [];
    return [turn];
  }

  /**
   * Words of this part of the recording may be missing.
   * @param {number} fromMs
   * @param {number} toMs
   */
  mark(fromMs, toMs) {
    const last = this.#marks.at(-1);
    // What is dropped piece by piece is one hole.
    if (last && fromMs >= last.atMs && fromMs <= last.toMs + 1) last.toMs = Math.max(last.toMs, toMs);
    else this.#marks.push({ id: this.#marks.length + 1, atMs: fromMs, toMs });
  }

  #again(ids) {
    const turns = ids.map((id) => this.#turns.get(id)).filter(Boolean);
    for (const turn of turns) turn.again();
    return turns;
  }

  #failed(id) {
    const turn = this.#turns.get(id);
    turn?.fail();
    return turn;
  }
}

/** As many of these characters as end with a word; all of them where words are not told apart by spaces. */
function wholeWords(text, length) {
  if (length >= text.length || /\s/.test(text[length])) return length;
  const space = text.lastIndexOf(" ", length - 1);
  return space > 0 ? space : length;
}

function trimmedAfter(text, length) {
  const rest = text.slice(length);
  return length === 0 ? rest.trimStart() : rest;
}

function revised(pieces, start, end, text, arrivedMs) {
  const kept = [];
  const after = [];
  let place = null;
  let at = 0;
  for (const piece of pieces) {
    const characters = [...piece.text];
    const head = characters.slice(0, Math.max(0, start - at)).join("");
    const tail = characters.slice(Math.max(0, end - at)).join("");
    if (head) kept.push({ ...piece, text: head });
    if (tail) after.push({ ...piece, text: tail });
    if (at < end || place === null) place = piece.heardMs;
    at += characters.length;
  }
  if (text) kept.push({ text, heardMs: place ?? 0, arrivedMs });
  return [...kept, ...after];
}
