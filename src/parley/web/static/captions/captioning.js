/** What the page does: a source is recorded into a session, and what the session tells becomes a transcript. */

import { FileSource } from "./file_source.js";
import { Latency } from "./latency.js";
import { Microphone } from "./microphone.js";
import { levelDb } from "./pcm.js";
import { failure, notice } from "./phrases.js";
import { Recorder } from "./recorder.js";
import { diagnose, sessionUrl } from "./server.js";
import { Session } from "./session.js";
import { HOPELESS, UNKNOWN_CALLER } from "./contract.js";
import { Transcript } from "./transcript.js";

/** How long the pill says that all is well again. */
const BACK_MS = 6_000;
const DIAGNOSE_MS = 3_000;

/**
 * @typedef {object} Audience what is told of it
 * @property {() => void} changed how things stand
 * @property {(turns: import("./transcript.js").Turn[]) => void} said
 * @property {(id: number) => void} voided a turn
 * @property {() => void} marked a hole
 * @property {(notice: {tone: string, text: string} | null, isLasting: boolean) => void} noticed
 * @property {(db: number, isSpeech: boolean) => void} heard
 * @property {(code: string) => Promise<string>} askCredential empty where somebody declined
 */

export class Captioning {
  transcript = new Transcript();
  latency = new Latency();
  credential = "";
  #audience;
  #session = null;
  #recorder = null;
  #microphone = null;
  #file = null;
  #days = [];
  #state = idle();
  #diagnosedMs = -Infinity;

  /** @param {Audience} audience */
  constructor(audience) {
    this.#audience = audience;
    addEventListener("online", () => this.#session?.retryNow());
    addEventListener("online", () => audience.changed());
    addEventListener("offline", () => audience.changed());
  }

  /** How things stand, for `phrases.standing` and the buttons. */
  get state() {
    const session = this.#session;
    const phase = session?.phase ?? "idle";
    return { ...this.#state, phase, waitingMs: session?.waitingMs ?? 0, isOnline: navigator.onLine };
  }

  get isBusy() {
    return this.#session !== null || this.#state.isOpening;
  }

  /** What of the file was given, and of how much; null where it is the microphone. */
  get progress() {
    return this.#file && { name: this.#file.name, givenMs: this.#file.givenMs, lengthMs: this.#file.lengthMs };
  }

  /** When that was said, where it was said to the microphone. @param {number} atMs @returns {Date | null} */
  dayOf(atMs) {
    const start = this.#days.findLast((day) => day.atMs <= atMs);
    return start?.date ? new Date(start.date + atMs - start.atMs) : null;
  }

  /** Another transcript. */
  clear() {
    this.transcript = new Transcript();
    this.#days = [];
  }

  /** Listen. @param {{microphone: string, model: string}} settings */
  async startMicrophone({ microphone, model }) {
    if (this.isBusy) return;
    this.#change({ isOpening: true });
    const take = (pcm, capturedMs) => this.#take(pcm, capturedMs);
    this.#microphone = new Microphone(take, () => this.#microphoneLost());
    try {
      await this.#microphone.open(microphone);
      this.#begin(model, { isFile: false, date: Date.now() });
    } catch (error) {
      this.#microphone = null;
      this.#fail(error.code ?? "microphone-busy");
    }
  }

  /** Transcribe a recording. @param {File} file @param {{pace: string, model: string}} settings */
  async startFile(file, { pace, model }) {
    if (this.isBusy) return;
    this.#change({ isOpening: true, isFile: true });
    try {
      const source = (this.#file = Object.assign(await FileSource.open(file), { name: file.name }));
      this.#begin(model, { isFile: true, date: null });
      const session = this.#session;
      const isPaced = pace === "real";
      await source.pump((pcm, atMs) => this.#take(pcm, isPaced ? atMs : null), () => session.hasRoom, isPaced);
      if (this.#session === session) await this.stop();
    } catch (error) {
      this.#fail(error.code ?? "file-unreadable");
    }
  }

  /** No more audio; a second time: wait for nothing. */
  async stop() {
    const session = this.#session;
    if (!session) return;
    if (this.#state.isFinishing) {
      session.stop();
      return;
    }
    this.#change({ isFinishing: true, isRecording: false });
    this.#file?.stop();
    await this.#microphone?.close();
    this.#microphone = null;
    if (session.phase !== "ended") this.#recorder.finish();
    this.#audience.changed();
  }

  #begin(model, { isFile, date }) {
    this.#days.push({ atMs: this.transcript.lengthMs, date });
    this.latency.reset();
    const time = {
      now: () => performance.now(),
      set: (run, ms) => setTimeout(run, ms),
      clear: (timer) => clearTimeout(timer),
    };
    const around = {
      url: sessionUrl(),
      connect: (url) => new WebSocket(url),
      time,
      chance: Math.random,
      tell: (event) => this.#told(event),
    };
    this.#session = new Session(around, { model, credential: this.credential });
    this.#recorder = new Recorder(this.#session, this.transcript, this.latency);
    this.#change({ isOpening: false, isRecording: true, isFile });
    this.#session.start();
  }

  #take(pcm, capturedMs) {
    if (!this.#recorder || this.#session.phase === "ended") return;
    this.#recorder.push(pcm, capturedMs);
    this.#audience.heard(levelDb(pcm), this.#recorder.isSpeech);
  }

  // ---- what the session tells

  #told(event) {
    const nowMs = performance.now();
    const turns = this.transcript.apply(event, nowMs);
    if (turns.length) this.#audience.said(turns);
    if (event.type === "voided") this.#audience.voided(event.turn);
    if (event.type === "delta" && event.text) this.#timed(event, nowMs);
    this.#mark(event);
    const said = notice(event);
    if (said) this.#audience.noticed(said, LASTING.has(event.type));
    this.#stand(event);
    this.#audience.changed();
  }

  #timed(event, nowMs) {
    const turn = this.transcript.turn(event.turn);
    if (!turn) return;
    const heardMs = turn.startMs + event.heardMs;
    this.latency.shown(turn.endMs === null ? heardMs : Math.min(heardMs, turn.endMs), nowMs);
  }

  #mark(event) {
    if (event.type === "gap" && event.reason === "slow-client") return;
    for (const [fromMs, toMs] of event.lost ?? []) this.transcript.mark(fromMs, toMs);
    if (event.lost?.length) this.#audience.marked();
  }

  #stand(event) {
    const state = this.#state;
    if (event.type === "begun") state.wasLive = true;
    else if (event.type === "queued") this.#passes("queued", event.position, event.position > 0);
    else if (event.type === "lagging") state.lagMs = event.lagMs;
    else if (event.type === "recovering") state.isRecovering = true;
    else if (event.type === "locked") this.#locked(event.code);
    else if (event.type === "phase" && event.phase === "waiting") this.#diagnose();
    else if (event.type === "ended") this.#ended();
    if (event.type === "recovered") state.isRecovering = false;
    if (["recovered", "resumed", "restarted"].includes(event.type)) this.#back(event.lost);
    if (["lost", "restarted"].includes(event.type)) Object.assign(state, { queued: 0, isRecovering: false, lagMs: 0 });
    if (event.type === "begun") this.#audience.noticed(null, false);
  }

  #passes(name, value, isLasting) {
    if (this.#state[name] && !isLasting) this.#audience.noticed(null, false);
    this.#state[name] = value;
  }

  #back(lost) {
    const back = lost.length ? "holed" : "whole";
    this.#state.back = back;
    const state = this.#state;
    setTimeout(() => {
      state.back = "";
      this.#audience.changed();
    }, BACK_MS);
  }

  #locked(code) {
    const session = this.#session;
    // Told from within the session, which is to have done with it first.
    queueMicrotask(async () => {
      this.credential = await this.#audience.askCredential(code);
      if (session.phase !== "locked") return;
      if (this.credential) session.signIn(this.credential);
      else session.stop();
    });
  }

  async #diagnose() {
    const nowMs = performance.now();
    if (nowMs - this.#diagnosedMs < DIAGNOSE_MS) return;
    this.#diagnosedMs = nowMs;
    const session = this.#session;
    const code = await diagnose(this.credential);
    if (session !== this.#session || (session.phase !== "waiting" && session.phase !== "connecting")) return;
    if (UNKNOWN_CALLER.has(code)) session.lock(code);
    else if (HOPELESS.has(code)) {
      session.stop();
      this.#fail(code);
    } else if (code && code !== "unreachable") this.#audience.noticed({ tone: "warn", text: failure(code) }, true);
  }

  #ended() {
    this.#session = this.#recorder = null;
    this.#file?.stop();
    this.#file = null;
    this.#microphone?.close();
    this.#microphone = null;
    this.#state = idle();
  }

  #microphoneLost() {
    this.#audience.noticed({ tone: "bad", text: failure("microphone-lost") }, false);
    this.stop();
  }

  #fail(code) {
    this.#file = null;
    this.#state = idle();
    this.#audience.noticed({ tone: "bad", text: failure(code) }, false);
    this.#audience.changed();
  }

  #change(changes) {
    Object.assign(this.#state, changes);
    this.#audience.changed();
  }
}

/** Notices that hold until another one takes their place. */
const LASTING = new Set(["lost", "recovering", "queued", "locked"]);

const idle = () => ({
  isOpening: false,
  isRecording: false,
  isFinishing: false,
  isFile: false,
  wasLive: false,
  isRecovering: false,
  queued: 0,
  lagMs: 0,
  back: "",
});
