/** A recording: whatever the browser can read, as PCM16 of 16 kHz. */

import { durationMs, mixed, PIECE_MS, PIECE_SAMPLES, SAMPLE_RATE, toPcm16 } from "./pcm.js";
import { SourceFailure } from "./microphone.js";

const FILE_MAX_BYTES = 536_870_912;
/** Pieces that are given at a time before the page may draw again. */
const BATCH = 25;
const WAIT_MS = 40;

export class FileSource {
  #channels;
  #at = 0;
  #isStopped = false;

  /** @param {Float32Array[]} channels at 16 kHz */
  constructor(channels) {
    this.#channels = channels;
  }

  /**
   * Read one.
   * @param {File} file
   * @returns {Promise<FileSource>}
   * @throws {SourceFailure}
   */
  static async open(file) {
    if (file.size > FILE_MAX_BYTES) throw new SourceFailure("file-too-large");
    let audio;
    try {
      // It is resampled as it is read, which needs no more memory than its result.
      audio = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(await file.arrayBuffer());
    } catch {
      throw new SourceFailure("file-unreadable");
    }
    if (audio.length === 0) throw new SourceFailure("file-empty");
    return new FileSource(Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index)));
  }

  /** Milliseconds of audio in it. */
  get lengthMs() {
    return durationMs(this.#channels[0].length);
  }

  /** Milliseconds that were given. */
  get givenMs() {
    return durationMs(this.#at);
  }

  /** Give no more. */
  stop() {
    this.#isStopped = true;
  }

  /**
   * Give all of it.
   * @param {(pcm: Int16Array, atMs: number) => void} take
   * @param {() => boolean} hasRoom whether more may be given now
   * @param {boolean} isPaced at the pace of speech, or as fast as there is room
   */
  async pump(take, hasRoom, isPaced) {
    const beganMs = performance.now();
    while (!this.#isStopped && this.#at < this.#channels[0].length) {
      const dueMs = isPaced ? performance.now() - beganMs : Infinity;
      for (let count = 0; count < BATCH && hasRoom() && this.givenMs + PIECE_MS <= dueMs; count += 1) {
        const piece = this.#next();
        if (!piece) break;
        take(piece, performance.now());
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    }
  }

  #next() {
    const pieces = this.#channels.map((channel) => channel.subarray(this.#at, this.#at + PIECE_SAMPLES));
    if (pieces[0].length === 0) return null;
    this.#at += pieces[0].length;
    return toPcm16(mixed(pieces));
  }
}
