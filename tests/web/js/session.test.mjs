import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../../../src/parley/web/static/captions/session.js";
import { Transcript } from "../../../src/parley/web/static/captions/transcript.js";
import { chances, piece, Server, Time } from "./world.mjs";

const PIECE_MS = 80;

/** A page without a page: turns of numbered pieces go in, a transcript comes out. */
class Page {
  time = new Time();
  server = new Server(this.time);
  transcript = new Transcript();
  told = [];
  #next = 1;
  #turn = null;

  constructor({ chance = () => 0, ...options } = {}) {
    const { time, server } = this;
    const tell = (event) => {
      this.told.push(event);
      this.transcript.apply(event, time.nowMs);
    };
    const around = { url: "ws://server.test/v1/realtime", connect: server.connect, time, chance, tell };
    this.session = new Session(around, options);
  }

  begin() {
    this.session.start();
    this.time.pass(100);
    return this;
  }

  say(pieces, everyMs = PIECE_MS) {
    if (!this.#turn) {
      this.#turn = this.transcript.begin(this.transcript.lengthMs);
      this.session.startTurn(this.#turn.id, this.#turn.startMs);
    }
    for (let count = 0; count < pieces; count += 1) {
      this.session.audio(piece(this.#next++), this.transcript.lengthMs);
      this.transcript.lengthMs += PIECE_MS;
      this.time.pass(everyMs);
    }
  }

  pause() {
    this.#turn.endMs = this.transcript.lengthMs;
    this.session.endTurn(this.#turn.endMs);
    this.#turn = null;
  }

  finish() {
    if (this.#turn) this.pause();
    this.session.finish();
    this.time.pass(1_000);
  }

  types() {
    return this.told.map((event) => event.type);
  }

  of(type) {
    return this.told.filter((event) => event.type === type);
  }

  get texts() {
    return this.transcript.turns.map((turn) => turn.text.trim());
  }

  get numbers() {
    return this.texts.join(" ");
  }
}

const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1).join(" ");

test("turns come back as text, and the session ends when all of them are done", () => {
  const page = new Page().begin();
  page.say(20);
  page.pause();
  page.say(5);
  page.finish();
  assert.deepEqual(page.texts, [upTo(20), "21 22 23 24 25"]);
  assert.equal(page.session.phase, "ended");
  assert.equal(page.of("ended")[0].code, "finished");
});

test("what is said before the server answers is not lost", () => {
  const page = new Page();
  page.session.start();
  page.say(10, 0);
  page.time.pass(100);
  page.finish();
  assert.equal(page.numbers, upTo(10));
});

test("every delta is asked for, and no credential or token is in an address", () => {
  const page = new Page({ credential: "secret" });
  page.server.credential = "secret";
  page.begin();
  page.say(3);
  page.server.cut();
  page.time.pass(500);
  const addresses = page.server.sockets.map((socket) => socket.url.search);
  assert.deepEqual(addresses, ["?empty_deltas=1&auth=event", "?empty_deltas=1&resume=1&auth=event"]);
});

test("after a lost connection the session is resumed and every piece arrives once", () => {
  const page = new Page().begin();
  page.say(30);
  page.server.cut();
  page.say(30);
  page.finish();
  assert.equal(page.numbers, upTo(60));
  assert.equal(page.of("resumed").length, 1);
  assert.equal(page.of("resumed")[0].outcome, "resumed");
  assert.ok(page.types().indexOf("lost") < page.types().indexOf("resumed"));
});

test("inputs that were sent and did not arrive are sent again", () => {
  const page = new Page().begin();
  page.say(10);
  page.server.losesInput = true;
  page.say(10);
  page.server.losesInput = false;
  page.server.cut();
  page.say(10);
  page.finish();
  assert.equal(page.numbers, upTo(30));
});

test("events that are repeated after a resume are taken once", () => {
  const page = new Page().begin();
  page.say(5);
  // Not acknowledged yet: the server says all five again.
  page.server.cut();
  page.time.pass(200);
  page.say(1);
  page.finish();
  assert.equal(page.numbers, upTo(6));
});

test("a number that is left out is a server that broke its word: another session hears all of it again", () => {
  const page = new Page().begin();
  page.say(5);
  const [session] = page.server.sessions.values();
  session.seq += 1;
  page.say(5);
  page.time.pass(1_000);
  page.finish();
  assert.equal(page.of("restarted").length, 1);
  assert.equal(page.numbers, upTo(10));
});

test("a session that is gone is begun anew, and turns without their final text are heard again", () => {
  const page = new Page().begin();
  page.say(10);
  page.pause();
  page.say(10);
  page.server.forget();
  page.say(10);
  page.time.pass(500);
  page.finish();
  const [restarted] = page.of("restarted");
  assert.deepEqual(restarted.turns, [2]);
  assert.deepEqual(restarted.lost, []);
  assert.deepEqual(page.texts, [upTo(10), Array.from({ length: 20 }, (_, index) => index + 11).join(" ")]);
});

test("once the server's time is over the page does not ask for the old session any longer", () => {
  const page = new Page().begin();
  page.server.windowS = 5;
  page.say(10);
  page.server.isUp = false;
  page.server.cut();
  page.say(500);
  page.server.isUp = true;
  page.time.pass(6_000);
  page.finish();
  assert.equal(page.of("restarted").length, 1, "the window of 30 s that it was told is over after 40 s");
  assert.equal(page.numbers, upTo(510));
});

test("attempts come at once, then less and less often, and never stop while somebody speaks", () => {
  const page = new Page().begin();
  page.server.isUp = false;
  page.server.cut();
  const begunMs = page.time.nowMs;
  const before = page.server.sockets.length;
  page.time.pass(600_000);
  const attempts = page.server.sockets.length - before;
  assert.ok(attempts > 100 && attempts < 260, `${attempts} attempts in ten minutes`);
  assert.equal(page.time.nowMs - begunMs, 600_000);
  assert.notEqual(page.session.phase, "ended");
});

test("when the network is back the page does not wait for the next attempt's time", () => {
  const page = new Page().begin();
  page.server.isUp = false;
  page.server.cut();
  page.time.pass(20_000);
  page.server.isUp = true;
  while (page.session.phase !== "waiting") page.time.pass(10);
  page.session.retryNow();
  page.time.pass(15);
  assert.equal(page.session.phase, "live");
});

test("a connection on which nothing comes back is taken for lost", () => {
  const page = new Page().begin();
  page.server.isMute = true;
  page.say(150);
  assert.equal(page.of("lost").length, 1);
  page.server.isMute = false;
  page.time.pass(15_000);
  page.finish();
  assert.equal(page.numbers, upTo(150));
});

test("silence is no reason to give a connection up while nothing is owed", () => {
  const page = new Page().begin();
  page.time.pass(60_000);
  assert.equal(page.of("lost").length, 0);
});

test("the server is told what has arrived after at most 32 events, after a second, and at the end of a turn", () => {
  const page = new Page().begin();
  page.say(40, 1);
  page.time.pass(10);
  const acks = () => page.server.socket.sent.filter((event) => event.type === "session.ack").map((event) => event.seq);
  assert.deepEqual(acks(), [32]);
  page.time.pass(1_000);
  assert.deepEqual(acks(), [32, 40]);
  page.say(1, 0);
  page.pause();
  page.time.pass(10);
  assert.deepEqual(acks(), [32, 40, 42]);
});

test("no more turns are begun on the server than it takes", () => {
  const page = new Page().begin();
  page.server.isUp = false;
  page.server.cut();
  for (let turn = 0; turn < 60; turn += 1) {
    page.say(2);
    page.pause();
  }
  page.server.isUp = true;
  let most = 0;
  const { receive } = page.server;
  page.server.receive = (socket, event) => {
    receive.call(page.server, socket, event);
    most = Math.max(most, (socket.session?.items ?? 0) - page.of("done").length);
  };
  page.time.pass(10_000);
  page.finish();
  assert.equal(page.numbers, upTo(120));
  assert.ok(most > 1 && most <= 32, `${most} turns`);
});

test("without the right credential nothing is begun, audio is kept, and signing in goes on with it", () => {
  const page = new Page();
  page.server.credential = "right";
  page.session.signIn("wrong");
  page.begin();
  assert.equal(page.session.phase, "locked");
  assert.equal(page.of("locked")[0].code, "invalid-token");
  page.say(10);
  page.session.signIn("right");
  page.time.pass(100);
  page.finish();
  assert.equal(page.numbers, upTo(10));
});

test("an error that trying again does not help against ends the session, with its code and what was not done", () => {
  const page = new Page().begin();
  page.say(5);
  const forbidden = { type: "error", error: "No.", parley: { code: "ended-by-operator", retry: "never" } };
  page.server.socket.deliver(forbidden);
  page.time.pass(10);
  const [ended] = page.of("ended");
  assert.equal(ended.code, "ended-by-operator");
  assert.deepEqual(ended.turns, [1]);
  assert.deepEqual(page.texts, [upTo(5)]);
});

test("a server that offers no contract has its turns heard again after a loss", () => {
  const page = new Page();
  page.server.isPlain = true;
  page.begin();
  page.say(10);
  page.pause();
  page.say(10);
  page.server.cut();
  page.say(10);
  page.time.pass(500);
  page.finish();
  assert.equal(page.of("restarted").length, 1);
  assert.equal(page.numbers, upTo(30));
  assert.equal(page.session.phase, "ended");
});

test("intervals of the server are told on the recording's clock, also in the session after a lost one", () => {
  const page = new Page().begin();
  page.say(25);
  page.pause();
  page.time.pass(10);
  page.server.forget();
  page.time.pass(500);
  page.say(25);
  const [session] = page.server.sessions.values();
  page.server.tell(session, { type: "session.gap", from_ms: 400, to_ms: 800, reason: "input-overrun" });
  page.time.pass(10);
  assert.deepEqual(page.of("gap")[0].lost, [[2_400, 2_800]]);
});

test("where things stand is passed on", () => {
  const page = new Page().begin();
  for (const event of [
    { type: "session.queued", position: 3, eta_ms: 2600 },
    { type: "session.lagging", lag_ms: 5200 },
    { type: "session.expiring", reason: "idle-timeout", in_ms: 30000 },
    { type: "session.going_away", reason: "shutting-down", deadline_ms: 55000, moves: true },
  ]) {
    page.server.socket.deliver(event);
  }
  page.time.pass(10);
  assert.deepEqual(page.of("queued")[0], { type: "queued", position: 3, etaMs: 2600 });
  assert.deepEqual(page.of("lagging")[0], { type: "lagging", lagMs: 5200 });
  assert.deepEqual(page.of("expiring")[0], { type: "expiring", reason: "idle-timeout", inMs: 30000 });
  assert.deepEqual(page.of("goingAway")[0], { type: "goingAway", deadlineMs: 55000, moves: true });
});

test("messages that can't be read, and events that are not known, change nothing", () => {
  const page = new Page().begin();
  const [session] = page.server.sessions.values();
  page.server.socket.onmessage({ data: "{" });
  page.server.socket.onmessage({ data: "null" });
  page.server.socket.onmessage({ data: new ArrayBuffer(1) });
  page.server.tell(session, { type: "session.something_new", item_id: "item_9" });
  page.say(3);
  page.finish();
  assert.equal(page.numbers, upTo(3));
});

test("an end that does not come is not waited for without end", () => {
  const page = new Page().begin();
  page.say(3);
  page.server.isUp = false;
  page.server.cut();
  page.pause();
  page.session.finish();
  page.time.pass(61_000);
  assert.equal(page.of("ended")[0].code, "unfinished");
  assert.deepEqual(page.of("ended")[0].turns, [1]);
});

test("whatever happens to connections and sessions, every piece is text once, in its turn, in order", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const chance = chances(seed);
    const page = new Page({ chance });
    page.begin();
    const expected = [];
    let number = 1;
    for (let turn = 0; turn < 12; turn += 1) {
      const words = [];
      for (let count = 1 + Math.floor(chance() * 25); count > 0; count -= 1) {
        page.say(1);
        words.push(number++);
        const fate = chance();
        if (fate < 0.02) page.server.cut();
        else if (fate < 0.03) page.server.forget();
        else if (fate < 0.04) page.server.isUp = !page.server.isUp;
        else if (fate < 0.05) page.server.losesInput = true;
        if (page.server.losesInput && chance() < 0.3) {
          page.server.losesInput = false;
          page.server.cut();
        }
      }
      page.pause();
      expected.push(words.join(" "));
    }
    page.server.isUp = true;
    if (page.server.losesInput) {
      page.server.losesInput = false;
      page.server.cut();
    }
    page.session.finish();
    page.time.pass(59_000);
    assert.deepEqual(page.texts, expected, `seed ${seed}`);
    assert.equal(page.session.phase, "ended", `seed ${seed}`);
  }
});
