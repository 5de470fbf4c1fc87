/** What runs in the audio thread: the microphone at whatever rate it has, as PCM16 of 16 kHz, a piece at a time. */

import { mixed, PIECE_SAMPLES, SAMPLE_RATE, toPcm16 } from "./pcm.js";
import { Resampler } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  #resampler = new Resampler(sampleRate, SAMPLE_RATE);
  #piece = new Float32Array(PIECE_SAMPLES);
  #filled = 0;
  #isOpen = true;

  constructor() {
    super();
    this.port.onmessage = () => this.#finish();
  }

  process([channels]) {
    if (!this.#isOpen) return false;
    if (channels?.length) this.#take(this.#resampler.push(mixed(channels)));
    return true;
  }

  #take(samples) {
    let from = 0;
    while (from < samples.length) {
      const part = samples.subarray(from, from + PIECE_SAMPLES - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === PIECE_SAMPLES) this.#post();
    }
  }

  #post() {
    const pcm = toPcm16(this.#piece.subarray(0, this.#filled));
    this.#filled = 0;
    // By the context's own clock, so that the page can tell how long ago that was.
    this.port.postMessage({ pcm, atS: currentTime }, [pcm.buffer]);
  }

  #finish() {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#take(this.#resampler.flush());
    if (this.#filled) this.#post();
    this.port.postMessage(null);
  }
}

registerProcessor("capture", Capture);
