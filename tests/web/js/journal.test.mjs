import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../../src/parley/web/static/captions/contract.js";
import { Journal } from "../../../src/parley/web/static/captions/journal.js";
import { SessionClock } from "../../../src/parley/web/static/captions/session_clock.js";
import { piece } from "./world.mjs";

const PIECE_MS = 80;

function spoken(journal, turn, pieces, atMs = 0) {
  const lost = [];
  lost.push(journal.push(Kind.START, turn, atMs));
  for (let count = 0; count < pieces; count += 1) {
    lost.push(journal.push(Kind.AUDIO, turn, atMs + count * PIECE_MS, piece(count)));
  }
  return lost.filter(Boolean);
}

function sendAll(journal) {
  const numbers = [];
  for (let entry = journal.next(); entry; entry = journal.next()) {
    journal.sent();
    numbers.push(entry.number);
  }
  return numbers;
}

test("inputs are numbered from one as they are sent", () => {
  const journal = new Journal();
  spoken(journal, 1, 3);
  assert.deepEqual(sendAll(journal), [1, 2, 3, 4]);
});

test("what is acknowledged is kept until its turn is done, and does not wait any longer", () => {
  const journal = new Journal();
  spoken(journal, 1, 3);
  sendAll(journal);
  assert.equal(journal.waitingMs, 240);
  assert.ok(journal.acknowledge(4));
  assert.equal(journal.waitingMs, 0);
  assert.deepEqual(journal.turns, [1]);
  assert.deepEqual(journal.restart().turns, [1]);
  assert.deepEqual(sendAll(journal), [1, 2, 3, 4]);
});

test("a turn that is done is not kept", () => {
  const journal = new Journal();
  spoken(journal, 1, 3);
  journal.push(Kind.END, 1, 240);
  sendAll(journal);
  journal.acknowledge(5);
  journal.turnOver(1);
  assert.deepEqual(journal.turns, []);
  spoken(journal, 2, 1, 240);
  assert.deepEqual(sendAll(journal), [6, 7]);
});

test("after a resume what the server lacks is sent again under its old numbers, then what is new", () => {
  const journal = new Journal();
  spoken(journal, 1, 3);
  sendAll(journal);
  journal.push(Kind.END, 1, 240);
  assert.ok(journal.resumed(2));
  assert.deepEqual(sendAll(journal), [3, 4, 5]);
});

test("a number that the server can't have, or had before, is not believed", () => {
  const journal = new Journal();
  spoken(journal, 1, 3);
  sendAll(journal);
  assert.equal(journal.acknowledge(5), false);
  assert.equal(journal.resumed(5), false);
  assert.ok(journal.acknowledge(3));
  assert.equal(journal.acknowledge(2), false);
  assert.equal(journal.acknowledge(undefined), false);
});

test("at the bound, what the server has goes first, and is lost only if the session is", () => {
  const journal = new Journal(10 * PIECE_MS);
  spoken(journal, 1, 8);
  sendAll(journal);
  journal.acknowledge(6);
  const lost = [];
  for (let count = 8; count < 13; count += 1) lost.push(journal.push(Kind.AUDIO, 1, count * PIECE_MS, piece(count)));
  assert.deepEqual(lost.filter(Boolean), []);
  assert.deepEqual(sendAll(journal), [10, 11, 12, 13, 14]);
  assert.deepEqual(journal.restart().lost, [[0, 240]]);
});

test("at the bound without any such, the oldest that was never sent goes, and that is told", () => {
  const journal = new Journal(10 * PIECE_MS);
  spoken(journal, 1, 4);
  sendAll(journal);
  const lost = [];
  for (let count = 4; count < 13; count += 1) lost.push(journal.push(Kind.AUDIO, 1, count * PIECE_MS, piece(count)));
  assert.deepEqual(lost.filter(Boolean), [[320, 400], [400, 480], [480, 560]]);
  assert.deepEqual(sendAll(journal), [6, 7, 8, 9, 10, 11]);
});

test("what was let go of a turn that is done is not lost", () => {
  const journal = new Journal(2 * PIECE_MS);
  spoken(journal, 1, 2);
  sendAll(journal);
  journal.acknowledge(3);
  journal.push(Kind.AUDIO, 1, 160, piece(3));
  journal.push(Kind.END, 1, 240);
  journal.turnOver(1);
  assert.deepEqual(journal.restart(), { turns: [], lost: [] });
});

test("a session's clock is the recording's until audio is left out, and begins anew with a session", () => {
  const clock = new SessionClock();
  clock.sent(0, 1_000);
  clock.sent(1_000, 1_000);
  clock.sent(5_000, 1_000);
  assert.deepEqual(clock.recorded([[500, 1_500], [2_500, 3_000]]), [[500, 1_500], [5_500, 6_000]]);
  clock.restart();
  clock.sent(6_000, 1_000);
  assert.deepEqual(clock.recorded([[0, 500]]), [[6_000, 6_500]]);
});

test("intervals that are none are passed over", () => {
  const clock = new SessionClock();
  assert.deepEqual(clock.recorded(undefined), []);
  assert.deepEqual(clock.recorded([[1], "x", [1, "2"], [1, 2]]), [[1, 2]]);
});
