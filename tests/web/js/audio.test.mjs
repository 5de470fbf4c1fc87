import assert from "node:assert/strict";
import { test } from "node:test";

import { endsTurn, PauseDetector } from "../../../src/parley/web/static/captions/pauses.js";
import * as pcm from "../../../src/parley/web/static/captions/pcm.js";
import { chances } from "./world.mjs";

const chance = chances(7);

/** Noise of this loudness, in decibels of full scale. */
function noise(ms, db) {
  const amplitude = 32_768 * 10 ** (db / 20) * Math.sqrt(3);
  return Int16Array.from({ length: (pcm.SAMPLE_RATE * ms) / 1_000 }, () => (2 * chance() - 1) * amplitude);
}

function heard(...pieces) {
  const detector = new PauseDetector();
  for (const piece of pieces) detector.hear(piece);
  return detector;
}

test("samples beyond full scale are clipped and not wrapped around", () => {
  assert.deepEqual([...pcm.toPcm16(Float32Array.of(0, 1, -1, 1.5, -1.5))], [0, 32767, -32767, 32767, -32768]);
});

test("base64 is of the samples' bytes, little end first, whatever part of a buffer they are", () => {
  const samples = Int16Array.of(9, 1, -2, 256, 9).subarray(1, 4);
  assert.deepEqual([...Buffer.from(pcm.toBase64(samples), "base64")], [1, 0, 254, 255, 0, 1]);
  const long = new Int16Array(50_000).fill(513);
  assert.equal(pcm.toBase64(long), Buffer.from(long.buffer).toString("base64"));
});

test("channels are mixed to their mean", () => {
  assert.deepEqual([...pcm.mixed([Float32Array.of(1, 0), Float32Array.of(0, 0.5)])], [0.5, 0.25]);
});

test("a level is in decibels of full scale, and silence has a floor", () => {
  assert.equal(pcm.levelDb(new Int16Array(100)), pcm.FLOOR_DB);
  assert.ok(Math.abs(pcm.levelDb(noise(500, -20)) + 20) < 0.5);
});

test("speech over a room's noise is speech, and the room is not", () => {
  assert.equal(heard(noise(2_000, -60)).isSpeech, false);
  assert.equal(heard(noise(2_000, -60), noise(500, -30)).isSpeech, true);
  assert.equal(heard(noise(2_000, -60), noise(500, -30), noise(200, -60)).isSpeech, false);
});

test("a click is no speech", () => {
  assert.equal(heard(noise(1_000, -60), noise(20, -10), noise(100, -60)).speechMs, 0);
});

test("a noise that begins and stays is noise after a while", () => {
  const detector = heard(noise(1_000, -70), noise(15_000, -45));
  assert.equal(detector.isSpeech, false);
});

test("digital silence between words is no pause of its own accord", () => {
  const detector = heard(noise(500, -25), new Int16Array(16 * 300), noise(200, -25));
  assert.equal(detector.isSpeech, true);
  assert.ok(detector.silenceMs === 0);
});

test("how audio is cut into pieces makes no difference", () => {
  const samples = new Int16Array([...noise(1_000, -60), ...noise(700, -30), ...noise(450, -60)]);
  const whole = heard(samples);
  const parts = new PauseDetector();
  for (let from = 0; from < samples.length; from += 37) parts.hear(samples.subarray(from, from + 37));
  assert.deepEqual([parts.silenceMs, parts.speechMs], [whole.silenceMs, whole.speechMs]);
});

test("a turn ends after a pause, a long one after a shorter pause, and none without speech", () => {
  const spoken = (pauseMs) => heard(noise(1_000, -60), noise(1_000, -30), noise(pauseMs, -60));
  assert.equal(endsTurn(spoken(600), 5_000), false);
  assert.equal(endsTurn(spoken(1_000), 5_000), true);
  assert.equal(endsTurn(spoken(700), 20_000), true);
  assert.equal(endsTurn(spoken(300), 90_000), true);
  assert.equal(endsTurn(heard(noise(10_000, -60)), 10_000), false);
});
