import assert from "node:assert/strict";
import { test } from "node:test";

import { EVENT_MAX_CHARS, EventParser } from "../../../src/parley/web/static/console/sse.js";
import { delayMs } from "../../../src/parley/web/static/console/stream.js";

const STREAM = 'retry: 2000\n\nevent: node\ndata: {"live":1}\n\n:\n\ndata: a\ndata: b\n\nevent: end\ndata:{}\n\n';
const EVENTS = [
  { name: "node", data: '{"live":1}' },
  { name: "message", data: "a\nb" },
  { name: "end", data: "{}" },
];

test("a stream is the same events wherever it is cut", () => {
  for (let cut = 0; cut <= STREAM.length; cut += 1) {
    const parser = new EventParser();
    const events = [...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))];
    assert.deepEqual(events, EVENTS, `cut at ${cut}`);
    assert.equal(parser.retryMs, 2000);
  }
});

test("a stream is the same events character by character and with any end of line", () => {
  for (const end of ["\n", "\r\n"]) {
    const parser = new EventParser();
    const events = [...STREAM.replaceAll("\n", end)].flatMap((one) => parser.push(one));
    assert.deepEqual(events, EVENTS);
  }
});

test("an event without data is none, and its name is not the next one's", () => {
  assert.deepEqual(new EventParser().push("event: x\n\ndata: 1\n\n"), [{ name: "message", data: "1" }]);
});

test("an event that does not end is cut off", () => {
  const parser = new EventParser();
  assert.throws(() => parser.push(`data: ${"x".repeat(EVENT_MAX_CHARS)}`), RangeError);
});

test("attempts to connect come more and more seldom, up to a bound, and not all at once", () => {
  const most = [1, 2, 3, 20].map((failures) => delayMs(failures, 1));
  assert.deepEqual(most, [500, 1000, 2000, 15_000]);
  assert.equal(delayMs(1, 0), 250);
  assert.equal(delayMs(1, 0, 5000), 5000);
});
