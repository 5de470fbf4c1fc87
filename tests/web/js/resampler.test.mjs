import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../../src/parley/web/static/captions/resampler.js";

const TO = 16_000;

const tone = (hz, rate, seconds) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, index) => Math.sin((2 * Math.PI * hz * index) / rate));

function resampled(samples, rate, pieces = [128]) {
  const resampler = new Resampler(rate, TO);
  const parts = [];
  for (let from = 0, turn = 0; from < samples.length; turn += 1) {
    const size = pieces[turn % pieces.length];
    parts.push(...resampler.push(samples.subarray(from, from + size)));
    from += size;
  }
  return [...parts, ...resampler.flush()];
}

/** How far from the same tone at 16 kHz it is, in decibels of that tone, away from both ends. */
function errorDb(output, hz) {
  let error = 0;
  let power = 0;
  for (let index = 400; index < output.length - 400; index += 1) {
    const expected = Math.sin((2 * Math.PI * hz * index) / TO);
    error += (output[index] - expected) ** 2;
    power += expected ** 2;
  }
  return 10 * Math.log10(error / power);
}

const levelDb = (output) => {
  const inner = output.slice(400, -400);
  return 10 * Math.log10((2 * inner.reduce((sum, value) => sum + value * value, 0)) / inner.length);
};

for (const rate of [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000, 44_056]) {
  test(`speech at ${rate} Hz comes through as it was, in its place`, () => {
    for (const hz of [100, 440, 1_000, 3_000]) {
      const error = errorDb(resampled(tone(hz, rate, 0.5), rate), hz);
      assert.ok(error < -60, `${hz} Hz: ${error.toFixed(1)} dB`);
    }
  });

  test(`audio at ${rate} Hz has as many milliseconds afterwards`, () => {
    const output = resampled(tone(440, rate, 1), rate);
    assert.ok(Math.abs(output.length - TO) <= 1, `${output.length} samples`);
  });
}

test("what lies above the new rate's half does not fold back into speech", () => {
  for (const [rate, hz] of [[48_000, 9_000], [48_000, 12_000], [48_000, 15_000], [44_100, 20_000], [96_000, 30_000]]) {
    const level = levelDb(resampled(tone(hz, rate, 0.5), rate));
    assert.ok(level < -60, `${hz} Hz at ${rate}: ${level.toFixed(1)} dB`);
  }
});

test("the passband reaches close to the new rate's half", () => {
  const level = levelDb(resampled(tone(7_000, 48_000, 0.5), 48_000));
  assert.ok(Math.abs(level) < 0.3, `${level.toFixed(2)} dB`);
});

test("the pieces in which audio comes make no difference", () => {
  const samples = tone(440, 44_100, 0.3);
  const whole = resampled(samples, 44_100, [samples.length]);
  for (const pieces of [[1], [128], [7, 4_096, 1], [441]]) assert.deepEqual(resampled(samples, 44_100, pieces), whole);
});

test("audio of 16 kHz is passed on as it is", () => {
  const samples = tone(440, TO, 0.1);
  assert.deepEqual(resampled(samples, TO), [...samples]);
});

test("an hour does not drift", () => {
  const resampler = new Resampler(44_100, TO);
  const second = new Float32Array(44_100);
  let count = 0;
  for (let seconds = 0; seconds < 60; seconds += 1) count += resampler.push(second).length;
  count += resampler.flush().length;
  assert.equal(count, 60 * TO);
});

test("a rate that no sound card has is refused", () => {
  for (const rate of [0, -1, NaN, 2_999, 1e9]) assert.throws(() => new Resampler(rate, TO), RangeError);
});
