import assert from "node:assert/strict";
import { test } from "node:test";

import { between, clock, failure, notice, span, standing } from "../../../src/parley/web/static/captions/phrases.js";

const LIVE = {
  phase: "live",
  isOpening: false,
  isFinishing: false,
  isFile: false,
  isOnline: true,
  waitingMs: 0,
  queued: 0,
  isRecovering: false,
  lagMs: 0,
  back: "",
  wasLive: true,
};

test("positions are minutes and seconds, with hours once there are any", () => {
  assert.deepEqual([0, 61_999, 3_600_000].map(clock), ["0:00", "1:01", "1:00:00"]);
});

test("spans are as short as they can be said", () => {
  assert.deepEqual([0, 324, 994, 1_240, 9_940, 12_400, 240_000].map(span), ["0 ms", "320 ms", "990 ms", "1.2 s", "9.9 s", "12 s", "4 min"]);
});

test("the pill says how much audio is kept while there is no connection", () => {
  assert.equal(standing(LIVE).text, "Live");
  assert.equal(standing({ ...LIVE, phase: "waiting", waitingMs: 4_200 }).text, "Reconnecting · 4 s of audio kept");
  assert.equal(standing({ ...LIVE, phase: "waiting", isOnline: false, waitingMs: 4_200 }).text, "Offline · 4 s of audio kept");
  assert.equal(standing({ ...LIVE, phase: "connecting", wasLive: false }).text, "Connecting");
  assert.equal(standing({ ...LIVE, phase: "waiting", wasLive: false, waitingMs: 6_000 }).text, "Connecting · 6 s of audio kept");
  assert.equal(standing({ ...LIVE, phase: "locked", waitingMs: 90_000 }).text, "Sign-in needed · 90 s of audio kept");
});

test("the pill says that nothing was lost only when nothing was", () => {
  assert.deepEqual(standing({ ...LIVE, back: "whole" }), { tone: "good", text: "Resumed · nothing lost" });
  assert.deepEqual(standing({ ...LIVE, back: "holed" }), { tone: "warn", text: "Resumed · words may be missing" });
});

test("the pill says what is waited for before there is a session", () => {
  assert.equal(standing({ ...LIVE, phase: "idle" }).text, "Ready");
  assert.equal(standing({ ...LIVE, phase: "idle", isOpening: true }).text, "Opening the microphone");
  assert.equal(standing({ ...LIVE, phase: "idle", isOpening: true, isFile: true }).text, "Reading the recording");
});

test("what is wrong on the server's side is told before all is well", () => {
  assert.equal(standing({ ...LIVE, queued: 3 }).text, "In line · place 3");
  assert.equal(standing({ ...LIVE, isRecovering: true }).text, "Changing model server");
  assert.equal(standing({ ...LIVE, lagMs: 5_200 }).text, "Live · 5.2 s behind");
});

test("each outcome of a reconnect is told in words, with the interval that is lost", () => {
  const resumed = (outcome, lost) => notice({ type: "resumed", outcome, lost, downtimeMs: 4_000 });
  assert.equal(resumed("resumed", []).text, "The connection is back after 4.0 s. Nothing was lost.");
  assert.match(resumed("rehydrated", []).text, /heard the last audio again; nothing was lost/);
  assert.match(resumed("restarted", [[62_000, 68_000]]).text, /Words may be missing between 1:02 and 1:08\./);
  assert.match(notice({ type: "restarted", turns: [1], lost: [] }).text, /nothing was lost/);
});

test("no notice holds JSON, braces or a field's name", () => {
  const lost = [[1_000, 2_000]];
  const events = [
    { type: "lost", wasLive: true },
    { type: "lost", wasLive: false },
    { type: "dropped", lost },
    { type: "recovering", reason: "upstream-closed" },
    { type: "recovered", lost },
    { type: "gap", lost, reason: "input-overrun" },
    { type: "gap", lost, reason: "slow-client" },
    { type: "queued", position: 2, etaMs: null },
    { type: "goingAway", moves: true, deadlineMs: 1_000 },
    { type: "goingAway", moves: false, deadlineMs: 1_000 },
    { type: "expiring", reason: "idle-timeout", inMs: 30_000 },
    { type: "turnFailed", turn: 1 },
    { type: "ended", code: "ended-by-operator", turns: [] },
  ];
  for (const event of events) {
    const { text } = notice(event);
    assert.match(text, /^[A-Z][^{}_"]+[.]$/, text);
  }
});

test("an end that was asked for needs no words", () => {
  assert.equal(notice({ type: "ended", code: "finished" }), null);
  assert.equal(notice({ type: "delta" }), null);
  assert.equal(notice({ type: "toString" }), null);
});

test("a failure that is not known is named, with what to do", () => {
  assert.match(failure("some-code"), /some-code.*log/);
});

test("many intervals are not all listed", () => {
  const many = Array.from({ length: 9 }, (_, index) => [index * 10_000, index * 10_000 + 1_000]);
  assert.equal(between(many), "between 0:00 and 0:01, 0:10 and 0:11, 0:20 and 0:21 and elsewhere");
});
