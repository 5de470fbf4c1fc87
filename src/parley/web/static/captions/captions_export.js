/**
 * A transcript as a file: plain text, SubRip (SRT), WebVTT. The same rules as `parley.client.captions`: a model tells
 * where it was in the audio when a piece came, so a word's beginning is estimated from its length.
 */

import { clock } from "./phrases.js";
import { SPEECH_CHARACTERS_A_MS } from "./transcript.js";

const LINE_MAX_CHARACTERS = 42;
const LINES_MAX = 2;
const CUE_MAX_MS = 6_000;
const CUE_MIN_MS = 1_000;
/** A silence that ends a cue. */
const PAUSE_MS = 800;
/** A sentence shorter than this shares its cue with the next one. */
const SENTENCE_MIN_CHARACTERS = 20;
const SENTENCE_END = /[.!?…。！？؟।]$/u;

/** @typedef {{text: string, startMs: number, endMs: number}} Cue */

/**
 * Plain text: a paragraph for each turn, with its time.
 * @param {import("./transcript.js").Turn[]} turns
 * @returns {string}
 */
export function txt(turns) {
  return turns.map((turn) => `[${clock(turn.spokenMs)}] ${turn.text.trim()}\n`).join("\n");
}

/**
 * SubRip. It has no escapes, so an arrow within the text is written as one character.
 * @param {import("./transcript.js").Turn[]} turns
 * @returns {string}
 */
export function srt(turns) {
  const block = (cue, index) =>
    `${index + 1}\n${stamp(cue.startMs, ",")} --> ${stamp(cue.endMs, ",")}\n` +
    `${lines(cue.text.replaceAll("-->", "→")).join("\n")}\n`;
  return cuesOf(turns).map(block).join("\n");
}

/**
 * WebVTT (W3C).
 * @param {import("./transcript.js").Turn[]} turns
 * @returns {string}
 */
export function vtt(turns) {
  const block = (cue) =>
    `${stamp(cue.startMs, ".")} --> ${stamp(cue.endMs, ".")}\n${escaped(lines(cue.text).join("\n"))}\n`;
  return ["WEBVTT\n", ...cuesOf(turns).map(block)].join("\n");
}

/**
 * The cues of all turns.
 * @param {import("./transcript.js").Turn[]} turns
 * @returns {Cue[]}
 */
export function cuesOf(turns) {
  return turns.flatMap(cuesOfTurn);
}

function cuesOfTurn(turn) {
  const lastMs = turn.pieces.at(-1)?.heardMs ?? 0;
  const lengthMs = turn.lengthMs ?? lastMs;
  // Too few steps were counted: they are spread over the turn, which is better than all of them early.
  const scale = !turn.hasExactTimes && lastMs > 0 && lastMs < lengthMs ? lengthMs / lastMs : 1;
  const cues = [];
  let words = [];
  for (const word of wordsOf(turn.pieces, scale)) {
    if (words.length && endsBefore(words, word)) {
      cues.push(joined(words));
      words = [];
    }
    words.push(word);
  }
  if (words.length) cues.push(joined(words));
  const placed = settled(cues, lengthMs);
  return placed.map((cue) => ({ ...cue, startMs: cue.startMs + turn.startMs, endMs: cue.endMs + turn.startMs }));
}

function* wordsOf(pieces, scale) {
  let word = "";
  let startMs = 0;
  let endMs = 0;
  let count = 0;
  for (const [character, fromMs, toMs] of charactersOf(pieces, scale)) {
    const isSpace = /\s/u.test(character);
    if (isSpace || count >= LINE_MAX_CHARACTERS) {
      if (word) yield { text: word, startMs, endMs };
      word = "";
      count = 0;
    }
    if (!isSpace) {
      if (!word) startMs = fromMs;
      word += character;
      count += 1;
      endMs = toMs;
    }
  }
  if (word) yield { text: word, startMs, endMs };
}

/** Each character with the time it takes: a piece's characters share the time that it may have been spoken in. */
function* charactersOf(pieces, scale) {
  let beforeMs = 0;
  for (const piece of pieces) {
    const characters = [...piece.text];
    const endMs = Math.max(piece.heardMs * scale, beforeMs);
    const startMs = Math.max(beforeMs, endMs - characters.length / SPEECH_CHARACTERS_A_MS);
    const shareMs = (endMs - startMs) / characters.length;
    for (const [place, character] of characters.entries()) {
      yield [character, startMs + place * shareMs, startMs + (place + 1) * shareMs];
    }
    beforeMs = endMs;
  }
}

function endsBefore(words, word) {
  const text = words.map((one) => one.text).join(" ");
  if (SENTENCE_END.test(text) && [...text].length >= SENTENCE_MIN_CHARACTERS) return true;
  if (word.startMs - words.at(-1).endMs >= PAUSE_MS || word.endMs - words[0].startMs > CUE_MAX_MS) return true;
  return lines(`${text} ${word.text}`).length > LINES_MAX;
}

function joined(words) {
  return { text: words.map((one) => one.text).join(" "), startMs: words[0].startMs, endMs: words.at(-1).endMs };
}

/** The cues, none overlapping, none too short to read where there is room, none later than the audio. */
function settled(cues, lengthMs) {
  const done = [];
  for (const [index, cue] of cues.entries()) {
    const earliestMs = done.at(-1)?.endMs ?? 0;
    let endMs = Math.max(cue.endMs, cue.startMs + CUE_MIN_MS);
    // A model finishes a turn's text after its audio: what it says then belongs to the audio's end.
    const lateMs = Math.max(0, endMs - lengthMs);
    const startMs = Math.max(earliestMs, cue.startMs - lateMs);
    endMs = Math.max(endMs - lateMs, startMs + CUE_MIN_MS / 4);
    const next = cues[index + 1];
    if (next) endMs = Math.min(endMs, Math.max(next.startMs, startMs + CUE_MIN_MS / 4));
    done.push({ text: cue.text, startMs, endMs });
  }
  return done;
}

function lines(text) {
  const wrapped = [];
  for (const word of text.split(" ")) {
    const last = wrapped.at(-1);
    if (last !== undefined && [...last].length + 1 + [...word].length <= LINE_MAX_CHARACTERS) {
      wrapped[wrapped.length - 1] = `${last} ${word}`;
    } else wrapped.push(word);
  }
  return wrapped;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function stamp(timeMs, separator) {
  const totalMs = Math.round(timeMs);
  const parts = [Math.floor(totalMs / 3_600_000), Math.floor(totalMs / 60_000) % 60, Math.floor(totalMs / 1_000) % 60];
  const seconds = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${seconds}${separator}${String(totalMs % 1_000).padStart(3, "0")}`;
}
