import assert from "node:assert/strict";
import { test } from "node:test";

import * as format from "../../../src/parley/web/static/console/format.js";

const plain = (text) => text.replaceAll("\u202f", " ");

test("durations have about three digits and their unit", () => {
  const shown = [0, 0.00042, 0.0084, 0.035, 0.31, 9.99, 12.34, 99.95, 3_661, 100_000, null].map(format.duration).map(plain);
  assert.deepEqual(shown, ["0 s", "0.4 ms", "8.4 ms", "35 ms", "0.31 s", "9.99 s", "12.3 s", "1:39", "1:01:01", "1 d 3 h", "–"]);
});

test("ages tick in whole seconds", () => {
  assert.deepEqual([0, 59.9, 60, 3_599, 3_600, 90_000].map(format.age).map(plain), ["0 s", "59 s", "1:00", "59:59", "1:00:00", "1 d 1 h"]);
});

test("sizes are in powers of 1,024", () => {
  const shown = [0, 1_023, 1_024, 90_000, 1_048_576, 5e9, null].map(format.size).map(plain);
  assert.deepEqual(shown, ["0 B", "1023 B", "1.0 KiB", "88 KiB", "1.0 MiB", "4.7 GiB", "–"]);
});

test("facts are shown by what their names end in", () => {
  assert.equal(plain(format.fact("waited_s", 0.5)), "0.50 s");
  assert.equal(plain(format.fact("held_bytes_most", 2_048)), "2.0 KiB");
  assert.equal(plain(format.fact("held_s_most", 2)), "2.00 s");
  assert.equal(format.fact("turn", 1_200), "1,200");
  assert.equal(format.fact("opening", true), "yes");
  assert.equal(format.fact("code", "upstream-closed"), "upstream closed");
  assert.equal(format.factName("held_s_most"), "held most");
  assert.equal(format.factName("waited_s"), "waited");
});

test("an axis has few ticks at round times, all of them inside", () => {
  for (const [from, to] of [[0, 0.05], [0, 1], [-0.02, 12.4], [3, 97], [0, 5_000], [100, 90_000]]) {
    const ticks = format.ticks(from, to, 6);
    assert.ok(ticks.length >= 2 && ticks.length <= 7, `${from} to ${to}: ${ticks.length}`);
    assert.ok(ticks.every(({ at }) => at >= from - 1e-9 && at <= to + 1e-9));
    assert.equal(new Set(ticks.map(({ label }) => label)).size, ticks.length, "no two have the same label");
  }
});

test("ids are as short as tells them apart", () => {
  assert.equal(format.shortId("sess-ba626c9820bd410cb3fd0c40efb50bda"), "ba626c98");
  assert.equal(format.counted(1, "session"), "1 session");
  assert.equal(format.counted(2_000, "session"), "2,000 sessions");
});
