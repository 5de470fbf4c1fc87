/** From pieces of audio to turns of a session: each begins with the audio after the last one's, and ends at a pause. */

import { durationMs } from "./pcm.js";
import { endsTurn, PauseDetector } from "./pauses.js";

export class Recorder {
  #session;
  #transcript;
  #latency;
  #detector = new PauseDetector();
  #turn = null;

  /**
   * @param {import("./session.js").Session} session
   * @param {import("./transcript.js").Transcript} transcript
   * @param {import("./latency.js").Latency | null} latency null where the audio is not of now
   */
  constructor(session, transcript, latency) {
    this.#session = session;
    this.#transcript = transcript;
    this.#latency = latency;
  }

  /** Whether somebody speaks, as far as loudness tells. */
  get isSpeech() {
    return this.#detector.isSpeech;
  }

  /**
   * A further piece.
   * @param {Int16Array} pcm 16 kHz, mono
   * @param {number} capturedMs when its last sample came
   */
  push(pcm, capturedMs) {
    const transcript = this.#transcript;
    if (!this.#turn) this.#begin();
    this.#session.audio(pcm, transcript.lengthMs);
    transcript.lengthMs += durationMs(pcm.length);
    this.#latency?.captured(transcript.lengthMs, capturedMs);
    this.#detector.hear(pcm);
    if (endsTurn(this.#detector, transcript.lengthMs - this.#turn.startMs)) this.#end();
  }

  /** There is no more. */
  finish() {
    if (this.#turn) this.#end();
    this.#session.finish();
  }

  #begin() {
    this.#turn = this.#transcript.begin(this.#transcript.lengthMs);
    this.#session.startTurn(this.#turn.id, this.#turn.startMs);
    this.#detector.reset();
  }

  #end() {
    this.#turn.endMs = this.#transcript.lengthMs;
    this.#session.endTurn(this.#turn.endMs);
    this.#turn = null;
  }
}
