/** PCM16 as the server takes it: 16 kHz, mono, little-endian, in base64. */

export const SAMPLE_RATE = 16000;
/** Audio in a message: a step of the model's. */
export const PIECE_MS = 80;
export const PIECE_SAMPLES = (SAMPLE_RATE * PIECE_MS) / 1000;

/** The quietest level that is told, in decibels of full scale. */
export const FLOOR_DB = -96;

/**
 * @param {Float32Array} samples from -1 to 1; what is beyond is clipped
 * @returns {Int16Array}
 */
export function toPcm16(samples) {
  const pcm = new Int16Array(samples.length);
  for (let index = 0; index < samples.length; index += 1) {
    pcm[index] = Math.max(-32768, Math.min(32767, Math.round(samples[index] * 32767)));
  }
  return pcm;
}

/**
 * The mean of all channels.
 * @param {Float32Array[]} channels of equal length
 * @returns {Float32Array}
 */
export function mixed(channels) {
  if (channels.length === 1) return channels[0];
  const sum = new Float32Array(channels[0]?.length ?? 0);
  for (const channel of channels) {
    for (let index = 0; index < sum.length; index += 1) sum[index] += channel[index] / channels.length;
  }
  return sum;
}

/**
 * Every machine that has a browser keeps numbers little end first, so the bytes are those that are in memory.
 * @param {Int16Array} pcm
 * @returns {string}
 */
export function toBase64(pcm) {
  const bytes = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  let text = "";
  // Functions take a bounded number of arguments.
  for (let from = 0; from < bytes.length; from += 8192) {
    text += String.fromCharCode(...bytes.subarray(from, from + 8192));
  }
  return btoa(text);
}

/**
 * Loudness (RMS) in decibels of full scale, FLOOR_DB for silence.
 * @param {Int16Array} pcm
 * @param {number} [from]
 * @param {number} [to]
 * @returns {number}
 */
export function levelDb(pcm, from = 0, to = pcm.length) {
  let sum = 0;
  for (let index = from; index < to; index += 1) sum += pcm[index] * pcm[index];
  const rms = Math.sqrt(sum / Math.max(1, to - from)) / 32768;
  return rms > 0 ? Math.max(FLOOR_DB, 20 * Math.log10(rms)) : FLOOR_DB;
}

/**
 * Milliseconds of audio in so many samples.
 * @param {number} samples
 * @returns {number}
 */
export function durationMs(samples) {
  return (samples * 1000) / SAMPLE_RATE;
}
