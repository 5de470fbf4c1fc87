import assert from "node:assert/strict";
import { test } from "node:test";

import { cuesOf, srt, txt, vtt } from "../../../src/parley/web/static/captions/captions_export.js";
import { Latency } from "../../../src/parley/web/static/captions/latency.js";
import { complete } from "../../../src/parley/web/static/captions/sentences.js";
import { sound } from "../../../src/parley/web/static/captions/settings.js";
import { SETTLE_MS, Transcript } from "../../../src/parley/web/static/captions/transcript.js";

/** A turn of words, each heard at its second, come a moment later. */
function said(transcript, words, { startMs = 0, everyMs = 500, done = true } = {}) {
  transcript.lengthMs = startMs;
  const turn = transcript.begin(startMs);
  let heardMs = 0;
  for (const word of words.split(" ")) {
    heardMs += everyMs;
    transcript.apply({ type: "delta", turn: turn.id, text: ` ${word}`, heardMs }, startMs + heardMs);
  }
  turn.endMs = startMs + heardMs;
  transcript.lengthMs = turn.endMs;
  const end = { type: "done", turn: turn.id, text: ` ${words}`, hasExactTimes: true, isWhole: true };
  if (done) transcript.apply(end, turn.endMs);
  return turn;
}

test("words are partial while they are new, whole words settle after a while, all of them with the turn's end", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two three", { done: false });
  assert.deepEqual(turn.shown(500), { settled: "", partial: "one two three" });
  assert.deepEqual(turn.shown(1_000 + SETTLE_MS), { settled: "one two", partial: " three" });
  transcript.apply({ type: "done", turn: turn.id, text: " one two three", hasExactTimes: true, isWhole: true }, 1_600);
  assert.deepEqual(turn.shown(1_600), { settled: "one two three", partial: "" });
});

test("a word that comes in two pieces does not settle by halves", () => {
  const transcript = new Transcript();
  const turn = transcript.begin(0);
  transcript.apply({ type: "delta", turn: turn.id, text: " caption", heardMs: 80 }, 0);
  transcript.apply({ type: "delta", turn: turn.id, text: " pa", heardMs: 160 }, 0);
  transcript.apply({ type: "delta", turn: turn.id, text: "ge", heardMs: 240 }, 1_000);
  assert.deepEqual(turn.shown(SETTLE_MS), { settled: "caption", partial: " page" });
});

test("a script without spaces settles as it comes", () => {
  const transcript = new Transcript();
  const turn = transcript.begin(0);
  transcript.apply({ type: "delta", turn: turn.id, text: "春が", heardMs: 80 }, 0);
  transcript.apply({ type: "delta", turn: turn.id, text: "来た", heardMs: 160 }, 1_000);
  assert.deepEqual(turn.shown(SETTLE_MS), { settled: "春が", partial: "来た" });
});

test("a revision counts code points, and changes the pieces with the text", () => {
  const transcript = new Transcript();
  const turn = transcript.begin(0);
  for (const [index, text] of [" 😀", " two", " tree"].entries()) {
    transcript.apply({ type: "delta", turn: turn.id, text, heardMs: 80 * (index + 1) }, 0);
  }
  transcript.apply({ type: "revised", turn: turn.id, start: 2, end: 11, text: " zwei three" }, 10);
  assert.equal(turn.text, " 😀 zwei three");
  assert.deepEqual(turn.pieces.map((piece) => [piece.text, piece.heardMs]), [[" 😀", 80], [" zwei three", 240]]);
  assert.equal(turn.revisions, 1);
});

test("a revision of a part keeps what is around it", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two three", { done: false });
  transcript.apply({ type: "revised", turn: turn.id, start: 5, end: 8, text: "too" }, 0);
  assert.equal(turn.text, " one too three");
});

test("after text that did not come revisions are left alone, and the end has all of it", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one three", { done: false });
  transcript.apply({ type: "gap", reason: "slow-client", lost: [[0, 1]] }, 0);
  transcript.apply({ type: "revised", turn: turn.id, start: 0, end: 4, text: "x" }, 0);
  assert.equal(turn.text, " one three");
  transcript.apply({ type: "done", turn: turn.id, text: " one two three", hasExactTimes: false, isWhole: true }, 0);
  assert.equal(turn.text, " one two three");
});

test("an end that lacks its beginning does not take it away", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two three", { done: false });
  transcript.apply({ type: "done", turn: turn.id, text: " three", hasExactTimes: true, isWhole: false }, 0);
  assert.equal(turn.text, " one two three");
});

test("a turn that is heard again shows its words until there are as many new ones", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two", { startMs: 5_000, done: false });
  const { spokenMs } = turn;
  transcript.apply({ type: "restarted", turns: [turn.id], lost: [] }, 0);
  assert.equal(turn.shown(0).partial, "one two");
  assert.equal(turn.spokenMs, spokenMs);
  transcript.apply({ type: "delta", turn: turn.id, text: " one", heardMs: 80 }, 0);
  assert.equal(turn.shown(0).partial, "one two");
  transcript.apply({ type: "delta", turn: turn.id, text: " too three", heardMs: 160 }, 0);
  assert.equal(turn.shown(0).partial, "one too three");
});

test("turns without words are not shown, and a void one is gone", () => {
  const transcript = new Transcript();
  transcript.begin(0);
  const turn = said(transcript, "one");
  assert.deepEqual(transcript.turns, [turn]);
  transcript.apply({ type: "voided", turn: turn.id }, 0);
  assert.ok(transcript.isEmpty);
});

test("a turn that fails keeps what came of it", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two", { done: false });
  transcript.apply({ type: "restarted", turns: [turn.id], lost: [] }, 0);
  transcript.apply({ type: "turnFailed", turn: turn.id }, 0);
  assert.deepEqual(turn.shown(0), { settled: "one two", partial: "" });
});

test("what is dropped piece by piece is one hole", () => {
  const transcript = new Transcript();
  transcript.mark(0, 80);
  transcript.mark(80, 160);
  transcript.mark(1_000, 1_080);
  assert.deepEqual(transcript.marks.map(({ atMs, toMs }) => [atMs, toMs]), [[0, 160], [1_000, 1_080]]);
});

test("the text has a paragraph with its time for each turn", () => {
  const transcript = new Transcript();
  said(transcript, "One two.");
  said(transcript, "Three.", { startMs: 65_000 });
  assert.equal(txt(transcript.turns), "[0:00] One two.\n\n[1:05] Three.\n");
});

test("subtitles are numbered, in order, and don't overlap", () => {
  const transcript = new Transcript();
  said(transcript, "This is a sentence of words. And this is another one of them.", { startMs: 3_600_000 });
  said(transcript, "A third.", { startMs: 3_610_000 });
  const cues = cuesOf(transcript.turns);
  assert.equal(cues[0].text, "This is a sentence of words.");
  for (const [index, cue] of cues.entries()) {
    assert.ok(cue.endMs > cue.startMs);
    if (index) assert.ok(cue.startMs >= cues[index - 1].endMs);
  }
  const [first] = srt(transcript.turns).split("\n\n");
  assert.match(first, /^1\n01:00:00,\d{3} --> 01:00:03,\d{3}\nThis is a sentence of words\.$/);
});

test("lines are short, and a cue has two of them at the most", () => {
  const transcript = new Transcript();
  said(transcript, "word ".repeat(80).trim(), { everyMs: 120 });
  for (const block of srt(transcript.turns).trim().split("\n\n")) {
    const lines = block.split("\n").slice(2);
    assert.ok(lines.length <= 2);
    for (const line of lines) assert.ok(line.length <= 42);
  }
});

test("what means something in a format is no part of the text there", () => {
  const transcript = new Transcript();
  said(transcript, "<b> & --> me");
  assert.match(vtt(transcript.turns), /&lt;b&gt; &amp; --&gt; me/);
  assert.match(srt(transcript.turns), /<b> & → me/);
  assert.ok(vtt(transcript.turns).startsWith("WEBVTT\n\n"));
});

test("a turn whose clock counted too few steps is spread over its audio", () => {
  const transcript = new Transcript();
  const turn = said(transcript, "one two three four five six seven eight nine ten", { everyMs: 100 });
  turn.hasExactTimes = false;
  turn.endMs = 10_000;
  assert.ok(cuesOf([turn]).at(-1).endMs > 9_000);
});

test("latency is from a sound's capture to its text, as the median of the last pieces", () => {
  const latency = new Latency();
  assert.equal(latency.ms, null);
  for (let atMs = 80; atMs <= 8_000; atMs += 80) latency.captured(atMs, 1_000 + atMs);
  latency.shown(800, 2_100);
  assert.equal(latency.ms, 300);
  latency.shown(830, 1_880 + 500);
  assert.equal(latency.ms, 500, "830 ms is in the piece up to 880 ms");
  for (let count = 0; count < 9; count += 1) latency.shown(8_000, 9_200);
  assert.equal(latency.ms, 200);
  latency.shown(9_000, 9_300);
  latency.reset();
  latency.shown(8_000, 9_200);
  assert.equal(latency.ms, null);
});

test("only whole sentences are read aloud before the end", () => {
  assert.equal(complete("One. Two"), "One. ");
  assert.equal(complete("No end"), "");
  assert.equal(complete('He said "yes." Then'), 'He said "yes." ');
  assert.equal(complete("هل وصلت؟ نعم"), "هل وصلت؟ ");
  assert.equal(complete("3.5 is no end"), "");
});

test("settings that were kept by another release are not believed", () => {
  const defaults = sound(null);
  assert.deepEqual(sound({ size: "9", lines: 3, times: "day", keys: "yes", credential: "x" }), { ...defaults, times: "day" });
});
