import assert from "node:assert/strict";
import { test } from "node:test";

import { cursorAt, kept, lanesOf, panned, whole, zoomed } from "../../../src/parley/web/static/console/waterfall.js";

const mark = (kind, at_s, facts = {}, cursor_s = at_s) => ({ kind, at_s, cursor_s, facts });
const timeline = (age_s, ...marks) => ({ age_s, ended: false, marks });
const lane = (lanes, key) => lanes.find((one) => one.key === key);
const spans = (one) => one.rows.map((row) => row.map(({ tone, from, to }) => [tone, from, to]));

const WHOLE = timeline(
  10,
  mark("connected", -0.01), mark("began", 0),
  mark("leg-asked", 0.1, { leg: 1, purpose: "new" }), mark("leg-opened", 0.2, { leg: 1, took_s: 0.1 }),
  mark("turn-began", 1, { turn: 1 }), mark("turn-first-text", 1.5, { turn: 1, after_s: 0.5 }),
  mark("turn-speech-ended", 4, { turn: 1, audio_s: 3 }), mark("turn-began", 4.1, { turn: 2 }),
  mark("turn-final", 4.5, { turn: 1, after_s: 0.5 }),
);

test("lanes are the client, the legs and the turns, and the gateway where it held something up", () => {
  assert.deepEqual(lanesOf(WHOLE).map(({ key }) => key), ["client", "legs", "turns"]);
  const queued = timeline(3, mark("began", 0), mark("queued", 0.5, { leg: 1, position: 2 }), mark("admitted", 2, { leg: 1, waited_s: 1.5 }));
  assert.deepEqual(spans(lane(lanesOf(queued), "gateway")), [[["wait", 0.5, 2]]]);
});

test("a leg is opened, and then there until now", () => {
  assert.deepEqual(spans(lane(lanesOf(WHOLE), "legs")), [[["opening", 0.1, 0.2], ["leg", 0.2, 10]]]);
});

test("turns that overlap lie below each other, and their marks with them", () => {
  const turns = lane(lanesOf(WHOLE), "turns");
  assert.deepEqual(spans(turns), [[["turn", 1, 4], ["waiting", 4, 4.5]], [["turn", 4.1, 10]]]);
  assert.deepEqual(turns.points.map(({ kind, row }) => [kind, row]), [["turn-first-text", 0], ["turn-final", 0]]);
  assert.deepEqual(turns.rows[0][0].facts, { first_text_after_s: 0.5, audio_s: 3, final_after_s: 0.5 });
});

test("a client that goes away and comes back leaves a gap, and the end ends all", () => {
  const lanes = lanesOf(timeline(9, mark("began", 0), mark("leg-asked", 0, { leg: 1 }), mark("leg-opened", 1, { leg: 1 }), mark("detached", 2), mark("attached", 5, { outcome: "resumed" }), mark("ended", 8, { outcome: "client-ended" })));
  assert.deepEqual(spans(lane(lanes, "client")), [[["client", 0, 2], ["away", 2, 5], ["client", 5, 8]]]);
  assert.deepEqual(spans(lane(lanes, "legs")), [[["opening", 0, 1], ["leg", 1, 8]]]);
});

test("a leg that failed while it was opened never was there", () => {
  const lanes = lanesOf(timeline(3, mark("leg-asked", 0, { leg: 1 }), mark("leg-failed", 1, { leg: 1, code: "upstream-refused", opening: true })));
  assert.deepEqual(spans(lane(lanes, "legs")), [[["opening", 0, 1]]]);
  assert.deepEqual(lane(lanes, "legs").points.map(({ kind, tone }) => [kind, tone]), [["leg-failed", "bad"]]);
});

test("marks of what began before those that are kept draw nothing that never was", () => {
  const lanes = lanesOf(timeline(9, mark("leg-opened", 1, { leg: 7 }), mark("turn-final", 2, { turn: 9 }), mark("attached", 3, {})));
  assert.deepEqual(lane(lanes, "turns").rows, [[]]);
  assert.equal(lane(lanes, "legs"), undefined);
});

test("many turns at a time take only so many rows", () => {
  const marks = Array.from({ length: 40 }, (_, turn) => mark("turn-began", turn / 10, { turn }));
  const { rows } = lane(lanesOf(timeline(9, ...marks)), "turns");
  assert.equal(rows.length, 6);
  assert.equal(rows.flat().length, 40, "none is left out");
});

test("the audio cursor at a time is between those of the marks around", () => {
  const marks = [mark("began", 0, {}, 0), mark("turn-began", 2, {}, 1), mark("turn-final", 4, {}, 3)];
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((at) => cursorAt(marks, at, 6, 5)), [0, 0.5, 1, 2, 3, 4, 5]);
});

test("zooming and moving stay inside what there is", () => {
  const all = whole(WHOLE);
  assert.deepEqual(all, { from: -0.01, to: 10 });
  const near = zoomed({ from: 0, to: 8 }, 0.5, all);
  assert.deepEqual(near, { from: 2, to: 6 });
  assert.deepEqual(panned(near, 5, all), { from: 6, to: 10 });
  assert.deepEqual(kept({ from: -5, to: 50 }, all), all);
  let view = all;
  for (let step = 0; step < 60; step += 1) view = zoomed(view, 0.5, all);
  assert.ok(view.to - view.from >= 0.0199, "not nearer than can be seen");
});
