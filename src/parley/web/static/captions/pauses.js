/**
 * Where one turn ends and the next begins: at pauses, found by how loud it is.
 *
 * All audio is sent, whatever is found here: a pause that is missed makes a longer turn, and a whisper that is taken
 * for silence costs no word.
 */

import { durationMs, levelDb, SAMPLE_RATE } from "./pcm.js";

const FRAME_SAMPLES = SAMPLE_RATE / 50;
/** Frames in a row that are speech; a click is shorter. */
const ONSET_FRAMES = 3;
/** Over the noise, in decibels: speech begins above the one and has ended below the other. */
const ON_DB = 11;
const OFF_DB = 6;
/** Quieter than this is nobody's voice, however quiet the room. */
const LEAST_DB = -62;
/** How fast the noise is taken to have grown; it is known to have shrunk at once. */
const RISE_DB_A_FRAME = 0.05;
const START_NOISE_DB = -55;

/** Speech and pauses in what is heard. */
export class PauseDetector {
  #noiseDb = START_NOISE_DB;
  #loudFrames = 0;
  #isSpeech = false;
  #rest = new Int16Array(0);
  /** Milliseconds since there was speech; counted from the beginning where there was none. */
  silenceMs = 0;
  /** Milliseconds of speech since `reset`. */
  speechMs = 0;

  /** Whether somebody speaks. */
  get isSpeech() {
    return this.#isSpeech;
  }

  /**
   * Hear a piece of any length.
   * @param {Int16Array} pcm
   */
  hear(pcm) {
    const samples = new Int16Array(this.#rest.length + pcm.length);
    samples.set(this.#rest);
    samples.set(pcm, this.#rest.length);
    let from = 0;
    for (; from + FRAME_SAMPLES <= samples.length; from += FRAME_SAMPLES) {
      this.#frame(levelDb(samples, from, from + FRAME_SAMPLES));
    }
    this.#rest = samples.slice(from);
  }

  /** Another turn: what was spoken so far does not count, what is known of the noise does. */
  reset() {
    this.speechMs = 0;
    this.silenceMs = 0;
  }

  #frame(db) {
    const frameMs = durationMs(FRAME_SAMPLES);
    this.#noiseDb = db < this.#noiseDb ? (this.#noiseDb + db) / 2 : this.#noiseDb + RISE_DB_A_FRAME;
    const over = db - Math.max(this.#noiseDb, LEAST_DB - ON_DB);
    this.#loudFrames = over >= ON_DB ? this.#loudFrames + 1 : 0;
    if (this.#loudFrames >= ONSET_FRAMES) this.#isSpeech = true;
    else if (over < OFF_DB) this.#isSpeech = false;
    if (this.#isSpeech) {
      this.speechMs += frameMs;
      this.silenceMs = 0;
    } else {
      this.silenceMs += frameMs;
    }
  }
}

/** The pause that ends a turn of up to this length: the longer it is, the smaller a pause will do. */
const PAUSES = [
  { turnMs: 15_000, pauseMs: 900 },
  { turnMs: 30_000, pauseMs: 600 },
  { turnMs: 60_000, pauseMs: 400 },
  { turnMs: Infinity, pauseMs: 240 },
];
const SPEECH_MIN_MS = 250;

/**
 * Whether a turn of this length is over.
 * @param {PauseDetector} detector that heard it
 * @param {number} turnMs
 * @returns {boolean}
 */
export function endsTurn(detector, turnMs) {
  if (detector.speechMs < SPEECH_MIN_MS) return false;
  const { pauseMs } = PAUSES.find((step) => turnMs <= step.turnMs);
  return detector.silenceMs >= pauseMs;
}
