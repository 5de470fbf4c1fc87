import assert from "node:assert/strict";
import { test } from "node:test";

import { placesWords } from "../../../src/parley/web/static/console/detail_view.js";
import { drainWords, sparkline } from "../../../src/parley/web/static/console/node_view.js";
import { engineWords } from "../../../src/parley/web/static/console/servers_view.js";
import { glyphs, historyWords, toneOf } from "../../../src/parley/web/static/console/sessions_view.js";
import { markWords } from "../../../src/parley/web/static/console/timeline_view.js";

const plain = (text) => text.replaceAll("\u202f", " ");
const places = (more) => ({ client_link_s: null, gateway_s: null, upstream_link_s: null, model_s: null, slowest: "", ...more });

test("a drain says how many are left and for how long at most", () => {
  const drain = { state: "draining", deadline_s: 41.2, live: 3, moved: 2, ended: 1, is_final: false };
  assert.deepEqual(Object.values(drainWords(drain)).map(plain), ["This node is being drained: 3 sessions left.", "2 moved, 1 ended, at most 42 s more."]);
  assert.equal(drainWords({ ...drain, live: 0, deadline_s: null, moved: 0, ended: 0 }).text, "SIGTERM ends its process.");
});

test("the slowest place is named, and that there is none is said", () => {
  assert.equal(plain(placesWords(places({ model_s: 0.09, slowest: "model" }))), "Slowest: the model, 90 ms.");
  assert.equal(placesWords(places({ model_s: 0.001 })), "No place takes a notable time.");
  assert.equal(placesWords(places({})), "Nothing is measured yet.");
});

test("a mark is read aloud with its time, its audio and its facts", () => {
  const mark = { kind: "turn-final", at_s: 4.5, cursor_s: 4, facts: { turn: 2, after_s: 0.12 } };
  assert.equal(plain(markWords(mark)), "turn final at 4.50 s, audio 4.00 s, turn 2, after 0.12 s");
});

test("how a client came back is a few glyphs, and words for who doesn't see them", () => {
  assert.deepEqual(glyphs({ resumed: 1, restarted: 1 }).map(({ tone }) => tone), ["good", "bad"]);
  assert.equal(glyphs({ resumed: 50 }).length, 6);
  assert.equal(historyWords({ resumed: 2, rehydrated: 0, restarted: 1 }), "Client came back: 2 resumed, 1 restarted");
  assert.equal(historyWords({}), "");
});

test("an end that is somebody's failure stands out from those that are none", () => {
  const row = (outcome) => ({ state: "ended", endedMs: 1, outcome });
  assert.deepEqual(["client-ended", "ended-by-operator", "upstream-lost"].map((outcome) => toneOf(row(outcome))), ["over", "over", "over-bad"]);
  assert.equal(toneOf({ state: "recovering", endedMs: null, outcome: "" }), "bad");
});

test("an engine that says nothing is a dash", () => {
  assert.equal(engineWords(null), "–");
  assert.equal(engineWords({ running: 6, waiting: 0, kv_cache_usage: 0.123 }), "6 run, 0 wait, KV 12 %");
});

test("a small curve ends at the right and stays inside", () => {
  const points = sparkline([0, 5, 10], 8).split(" ").map((point) => point.split(",").map(Number));
  assert.equal(points.at(-1)[0], 96);
  assert.ok(points.every(([x, y]) => x >= 0 && x <= 96 && y >= 0 && y <= 22));
  assert.ok(points[0][1] > points[2][1], "more is higher");
});
