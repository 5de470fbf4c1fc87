import assert from "node:assert/strict";
import { test } from "node:test";

import { ENDED_KEPT_MS, ENDED_MAX, SessionTable } from "../../../src/parley/web/static/console/session_table.js";

const NOW = 1_000_000;

const session = (id, more = {}) => ({
  id, state: "live", age_s: 10, lag_s: 0, held_bytes: 0, held_s: 0, members: ["one:1"], transport: "websocket", tenant: "", resumptions: {}, ...more,
});
const event = (sessions, more = {}) => ({ full: false, sessions, removed: [], total: sessions.length, shown: sessions.length, ...more });
const over = (id, more = {}) => ({ id, age_s: 5, ago_s: 1, outcome: "client-closed", slowest: "", tenant: "", resumptions: {}, ...more });
const ids = (table) => table.rows(NOW).map((row) => row.id);

function filled(...sessions) {
  const table = new SessionTable();
  table.update(event(sessions, { full: true }), NOW);
  return table;
}

test("the oldest sessions are first until another column is chosen, and then the other way round", () => {
  const table = filled(session("a", { age_s: 1, lag_s: 3 }), session("b", { age_s: 9, lag_s: 1 }), session("c", { age_s: 5, lag_s: 2 }));
  assert.deepEqual(ids(table), ["b", "c", "a"]);
  table.sortBy("lag");
  assert.deepEqual(ids(table), ["a", "c", "b"]);
  table.sortBy("lag");
  assert.deepEqual(ids(table), ["b", "c", "a"]);
  table.sortBy("id");
  assert.deepEqual(ids(table), ["a", "b", "c"]);
});

test("a change is put in place of what was, and the session's age goes on", () => {
  const table = filled(session("a"));
  table.update(event([session("a", { state: "detached", age_s: 12 })]), NOW + 1_000);
  assert.equal(table.get("a").state, "detached");
  assert.equal(table.get("a").beganMs, NOW - 10_000);
});

test("a session that ended stays, last, with its outcome", () => {
  const table = filled(session("a", { age_s: 99 }), session("b"));
  table.ended([over("a")], NOW);
  table.update(event([], { removed: ["a"], total: 1, shown: 1 }), NOW);
  assert.deepEqual(ids(table), ["b", "a"]);
  assert.deepEqual([table.get("a").state, table.get("a").outcome], ["ended", "client-closed"]);
  assert.deepEqual(table.get("a").session.members, ["one:1"], "where it was last");
  assert.deepEqual([table.counts()[""], table.counts().ended], [1, 1]);
});

test("a session that is gone without a word has ended too", () => {
  const table = filled(session("a"));
  table.update(event([], { removed: ["a"], total: 0, shown: 0 }), NOW);
  assert.equal(table.get("a").state, "ended");
});

test("a full list forgets those that it does not have, but not those that ended", () => {
  const table = filled(session("a"), session("b"));
  table.ended([over("b")], NOW);
  table.update(event([session("c")], { full: true }), NOW);
  assert.deepEqual(ids(table), ["c", "b"]);
});

test("sessions that ended are forgotten after a while, and when there are too many", () => {
  const table = filled();
  table.ended(Array.from({ length: ENDED_MAX + 5 }, (_, place) => over(`s${place}`, { ago_s: place })), NOW);
  assert.equal(ids(table).length, ENDED_MAX);
  assert.ok(table.get("s0") && !table.get(`s${ENDED_MAX}`), "the last to end stay");
  table.forget(NOW + ENDED_KEPT_MS + 1);
  assert.equal(ids(table).length, 0);
});

test("every word of the filter has to be somewhere in the row", () => {
  const table = filled(session("sess-1", { tenant: "acme" }), session("sess-2", { tenant: "acme", members: ["gpu-2"] }), session("sess-3"));
  table.filter.text = "ACME gpu";
  assert.deepEqual(ids(table), ["sess-2"]);
  table.filter.text = "";
  table.filter.state = "queued";
  assert.deepEqual(ids(table), []);
});

test("of the sessions that ended the last to end is first", () => {
  const table = filled(session("live"));
  table.ended([over("long-ago", { ago_s: 60, age_s: 500 }), over("just-now", { ago_s: 1, age_s: 2 })], NOW);
  assert.deepEqual(ids(table), ["live", "just-now", "long-ago"]);
});

test("the longest lag is that of those that live", () => {
  const table = filled(session("a", { lag_s: 9 }), session("b", { lag_s: 2 }));
  table.ended([over("a")], NOW);
  assert.equal(table.worstLag(), 2);
});
