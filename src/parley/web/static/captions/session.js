/**
 * A session that outlives its connections: what `parley.client.resumption.ClientMachine` is in Python, and beyond it
 * the next session where one is gone. It knows neither sockets nor timers nor the page: all of that is given to it.
 *
 * ```
 * connecting ──► greeting ──► opting ──► live ── lost ──► waiting ──► connecting ──► resuming ──► live
 *                                                            └── its time is over: connecting ──► greeting ...
 * locked: other credentials are needed                    ended: nothing more comes
 * ```
 * What it tells, beside the server's own events in camel case and on the recording's clock (translation.js): `phase`,
 * `begun`, `lost {code}`, `resumed {outcome, lost, downtimeMs}`, `restarted {turns, lost}`, `dropped {lost}`,
 * `locked {code}`, `problem {code, message}`, `ended {code, message, turns}`.
 */

import * as contract from "./contract.js";
import { Journal } from "./journal.js";
import { ACK_DELAY_MS, Numbering } from "./numbering.js";
import { toBase64 } from "./pcm.js";
import { Reconnection } from "./reconnection.js";
import { SessionClock } from "./session_clock.js";
import { Timers } from "./timers.js";
import { told } from "./translation.js";
import { Turns } from "./turns.js";

const { Kind } = contract;
const GREETING_MS = 10_000;
/** A server that owes an acknowledgement and says nothing for so long is taken for gone. */
const SILENCE_MS = 8_000;
const WATCH_MS = 2_000;
/** The end may take so long, without anything new, until it is no longer waited for. */
const FINISH_MS = 60_000;
const BUFFERED_MAX_BYTES = 1_048_576;
/** Audio that a source which could be faster may have under way. */
const ROOM_MS = 20_000;
const NO_CLOSE_FRAME = 1006;

/**
 * @typedef {object} Around
 * @property {string} url of the route, without a query
 * @property {(url: string) => WebSocket} connect
 * @property {{now: () => number, set: (run: () => void, ms: number) => unknown, clear: (timer: unknown) => void}} time
 * @property {() => number} chance from 0 to 1
 * @property {(event: object) => void} tell
 */

export class Session {
  #around;
  #model;
  #credential;
  #socket = null;
  #phase = "idle";
  #timers;
  #journal = new Journal();
  #numbering = new Numbering();
  #reconnection = new Reconnection();
  #clock = new SessionClock();
  #turns = new Turns();
  #isPlain = false;
  #sessions = 0;
  #openTurn = 0;
  #isFinishing = false;
  #heardMs = 0;

  /**
   * @param {Around} around
   * @param {{model?: string, credential?: string}} [options]
   */
  constructor(around, { model = "", credential = "" } = {}) {
    this.#around = around;
    this.#timers = new Timers(around.time);
    this.#model = model;
    this.#credential = credential;
  }

  get phase() {
    return this.#phase;
  }

  /** Milliseconds of audio that the server is not known to have. */
  get waitingMs() {
    return this.#journal.waitingMs;
  }

  /** Whether a source that could be faster may give more now. */
  get hasRoom() {
    return this.#journal.waitingMs < ROOM_MS && this.#turns.mayStart;
  }

  start() {
    this.#connect();
    this.#watch();
  }

  /** @param {number} turn a number of the page's own @param {number} atMs */
  startTurn(turn, atMs) {
    this.#openTurn = turn;
    this.#push(Kind.START, atMs);
  }

  /** @param {Int16Array} pcm 16 kHz, mono @param {number} atMs where it begins in the recording */
  audio(pcm, atMs) {
    const lost = this.#push(Kind.AUDIO, atMs, pcm);
    if (lost) this.#tell({ type: "dropped", lost: [lost] });
  }

  /** @param {number} atMs */
  endTurn(atMs) {
    this.#push(Kind.END, atMs);
    this.#openTurn = 0;
  }

  /** No more audio: what is under way is waited for, then `ended` is told. */
  finish() {
    if (this.#isFinishing || this.#phase === "ended") return;
    this.#isFinishing = true;
    this.#expectEnd();
    this.#conclude();
  }

  /** End now, whatever is under way. */
  stop() {
    this.#end("stopped");
  }

  /** The network may be back: don't wait for the next attempt's time. */
  retryNow() {
    if (this.#phase === "waiting") this.#connect();
  }

  /** @param {string} credential an API key or a token, for this page alone */
  signIn(credential) {
    this.#credential = credential;
    if (this.#phase === "locked") this.#connect();
  }

  /** Others found out that credentials are needed: a browser does not say why a connection was refused. */
  lock(code) {
    if (this.#phase !== "waiting" && this.#phase !== "connecting") return;
    this.#letGo();
    this.#timers.clear("retry");
    this.#enter("locked");
    this.#tell({ type: "locked", code });
  }

  // ---- input

  #push(kind, atMs, pcm = null) {
    if (this.#phase === "ended") return null;
    const lost = this.#journal.push(kind, this.#openTurn, atMs, pcm);
    this.#flush();
    return lost;
  }

  #flush() {
    if (this.#phase !== "live") return;
    let entry = this.#journal.next();
    while (entry && this.#socket.bufferedAmount < BUFFERED_MAX_BYTES) {
      if (entry.kind === Kind.START && entry.number === 0 && !this.#turns.mayStart) break;
      this.#socket.send(contract.input(entry.kind, entry.pcm ? toBase64(entry.pcm) : ""));
      if (this.#journal.sent()) {
        if (entry.kind === Kind.START) this.#turns.start(entry.turn);
        if (entry.kind === Kind.AUDIO) this.#clock.sent(entry.atMs, entry.ms);
      }
      entry = this.#journal.next();
    }
    // Nothing is ever resumed there, so nothing is gained by counting.
    if (this.#isPlain) this.#journal.acknowledge(this.#journal.lastSent);
  }

  #conclude() {
    if (!this.#isFinishing || this.#phase !== "live" || this.#journal.turns.length) return;
    if (this.#isPlain) this.#end("finished");
    else if (!this.#timers.has("closing")) {
      this.#push(Kind.CLOSE, 0);
      this.#timers.set("closing", () => this.#end("finished"), GREETING_MS);
    }
  }

  #expectEnd() {
    if (this.#isFinishing) this.#timers.set("finish", () => this.#end("unfinished"), FINISH_MS);
  }

  // ---- the connection

  #connect() {
    this.#letGo();
    this.#timers.clear("retry");
    this.#enter("connecting");
    const query = new URLSearchParams({ empty_deltas: "1" });
    if (this.#reconnection.token) query.set("resume", "1");
    if (this.#credential) query.set("auth", "event");
    const socket = (this.#socket = this.#around.connect(`${this.#around.url}?${query}`));
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code }) => this.#lost(code);
    this.#timers.set("greeting", () => this.#lost(NO_CLOSE_FRAME), GREETING_MS);
  }

  #opened() {
    const { token } = this.#reconnection;
    if (this.#credential) this.#socket.send(contract.authenticate(this.#credential));
    if (token) this.#socket.send(contract.resume(token, this.#numbering.last));
    this.#enter(token ? "resuming" : "greeting");
  }

  #letGo() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #lost(code) {
    if (this.#phase === "ended" || this.#phase === "locked") return;
    this.#letGo();
    this.#timers.clear("greeting", "ack");
    if (this.#isFinishing && this.#journal.turns.length === 0) {
      this.#end("finished");
      return;
    }
    const now = this.#around.time.now();
    const isNews = this.#reconnection.isLost(now, this.#phase === "live");
    if (this.#isPlain) this.#reconnection.forget();
    const delayMs = this.#reconnection.next(now, this.#around.chance());
    this.#timers.set("retry", () => this.#connect(), delayMs);
    this.#enter("waiting");
    if (isNews) this.#tell({ type: "lost", code, wasLive: this.#sessions > 0 });
  }

  // ---- the server's messages

  #heard(data) {
    const event = contract.parse(data);
    if (!event) return;
    this.#heardMs = this.#around.time.now();
    if (event.type === "error") return this.#failed(event, data.length);
    if (this.#phase === "greeting" && event.type === "session.created") this.#created(event);
    else if (this.#phase === "opting" && event.type === "session.updated") this.#begun(event.resume);
    else if (this.#phase === "resuming" && event.type === "session.resumed") this.#resumed(event);
    else if (this.#phase === "live") this.#live(event, data.length);
  }

  #created(event) {
    const windowS = event.parley?.resume_window_s ?? 0;
    this.#isPlain = !(windowS > 0);
    this.#socket.send(this.#isPlain ? contract.update(this.#model) : contract.optIn(this.#model));
    if (this.#isPlain) this.#begun({ token: "", window_s: 0 });
    else this.#enter("opting");
  }

  #begun({ token, window_s: windowS }) {
    this.#reconnection.began(token, windowS * 1000);
    this.#numbering.restart();
    this.#turns.restart();
    this.#clock.restart();
    const { turns, lost } = this.#journal.restart();
    const isAnother = this.#sessions > 0;
    this.#sessions += 1;
    this.#lively();
    if (isAnother) this.#tell({ type: "restarted", turns, lost });
    else this.#tell({ type: "begun" });
    this.#goOn();
  }

  #resumed(event) {
    if (!this.#journal.resumed(event.input_seq)) return this.#broken();
    this.#numbering.told();
    const downtimeMs = this.#lively();
    this.#tell({ type: "resumed", outcome: event.outcome, lost: this.#clock.recorded(event.lost), downtimeMs });
    this.#goOn();
  }

  #lively() {
    this.#timers.clear("greeting");
    this.#heardMs = this.#around.time.now();
    const downtimeMs = this.#reconnection.isBack(this.#heardMs);
    this.#enter("live");
    return downtimeMs;
  }

  #goOn() {
    if (this.#phase === "ended") return;
    this.#expectEnd();
    this.#flush();
    this.#conclude();
  }

  #live(event, size) {
    if (event.type === "session.ack") {
      if (!this.#journal.acknowledge(event.input_seq)) return this.#broken();
      return this.#flush();
    }
    const fate = this.#numbering.take(event, size);
    if (fate === "gap") return this.#broken();
    if (fate === "known") return;
    const said = told(event, this.#turns, this.#clock);
    if (said) this.#say(said);
    if (event.type === "session.ended") return this.#sessionEnded(event);
    this.#acknowledge(Boolean(said?.isOver));
  }

  #say(said) {
    if (said.isOver) {
      this.#journal.turnOver(said.turn);
      this.#expectEnd();
    }
    this.#tell(said);
    if (said.isOver) this.#goOn();
  }

  #acknowledge(isUrgent) {
    if (this.#phase !== "live" || !this.#numbering.isOwed || this.#isPlain) return;
    if (isUrgent || this.#numbering.isDue) {
      this.#timers.clear("ack");
      this.#numbering.told();
      this.#socket.send(contract.acknowledge(this.#numbering.last));
    } else if (!this.#timers.has("ack")) {
      this.#timers.set("ack", () => this.#acknowledge(true), ACK_DELAY_MS);
    }
  }

  /** The server broke its word; what it has of the session can't be relied on. */
  #broken() {
    this.#reconnection.forget();
    this.#lost(NO_CLOSE_FRAME);
  }

  #failed(event, size) {
    if (this.#phase === "live" && this.#numbering.take(event, size) === "known") return;
    const code = contract.codeOf(event);
    this.#reconnection.wait(1000 * (event.parley?.retry_after_s ?? 0));
    if (contract.UNKNOWN_CALLER.has(code)) {
      this.#letGo();
      this.#timers.clear("greeting");
      this.#enter("locked");
      this.#tell({ type: "locked", code });
    } else if (contract.HOPELESS.has(code)) this.#end(code, event.error);
    else if (contract.GONE.has(code)) this.#reconnection.forget();
    else if (code === "turn-failed") this.#turnFailed(code, event.error);
    else if (code !== "moved") this.#tell({ type: "problem", code, message: event.error });
  }

  #turnFailed(code, message) {
    const turn = this.#turns.of(0);
    if (turn === undefined) return;
    this.#turns.over(turn);
    this.#say({ type: "turnFailed", turn, code, message, isOver: true });
  }

  #sessionEnded(event) {
    if (event.reason === "client-ended") return this.#end("finished");
    this.#reconnection.forget();
    if (contract.HOPELESS.has(event.reason)) this.#end(event.reason);
  }

  // ---- time, and the end

  #watch() {
    this.#timers.set("watch", () => this.#watch(), WATCH_MS);
    if (this.#phase !== "live") return;
    const silentMs = this.#around.time.now() - this.#heardMs;
    if (silentMs >= SILENCE_MS && this.#journal.isOwedAck) this.#lost(NO_CLOSE_FRAME);
    else this.#flush();
  }

  #enter(phase) {
    this.#phase = phase;
    this.#tell({ type: "phase", phase });
  }

  #end(code, message = "") {
    if (this.#phase === "ended") return;
    const { turns } = this.#journal;
    this.#letGo();
    this.#timers.clear();
    this.#enter("ended");
    this.#tell({ type: "ended", code, message, turns });
  }

  #tell(event) {
    this.#around.tell(event);
  }
}
