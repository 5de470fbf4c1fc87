/** How things stand: the pill, the latency beside it, the line below, the button, the clock. */

import { byId, setIcon, setText } from "./dom.js";
import { clock, span, standing } from "./phrases.js";

const NOTICE_MS = 9_000;
const BAD_NOTICE_MS = 20_000;
const LATENCY_TITLE =
  "From the moment this browser got a sound to the moment that the text for it was shown: " +
  "network, server, model and the model's own look-ahead. The median of the last nine pieces of text.";

export class StatusView {
  #pills = [byId("status"), byId("screen-status")];
  #announced = byId("announced-status");
  #latency = byId("latency");
  #latencyValue = byId("latency-value");
  #notice = byId("notice");
  #noticeText = byId("notice-text");
  #button = byId("toggle-button");
  #label = byId("toggle-label");
  #elapsed = byId("elapsed");
  #source = byId("source");
  #file = byId("file-button");
  #emptyTitle = byId("empty-title");
  #timer = 0;

  constructor() {
    this.#latency.title = LATENCY_TITLE;
  }

  /**
   * @param {import("./captioning.js").Captioning["state"]} state
   * @param {number | null} latencyMs
   * @param {number} recordedMs
   * @param {{name: string, givenMs: number, lengthMs: number} | null} progress
   */
  update(state, latencyMs, recordedMs, progress) {
    const { tone, text } = standing(state);
    const isLive = state.phase === "live" && !state.isFinishing;
    const shown = isLive && !state.isFile && latencyMs !== null ? span(latencyMs) : "";
    document.body.dataset.state = state.phase;
    for (const pill of this.#pills) {
      pill.dataset.tone = tone;
      setText(pill, text);
    }
    // What is wrong is told in the line of words, once, and not with each second that goes by.
    if (tone === "good" || tone === "quiet") setText(this.#announced, text);
    this.#latency.hidden = !shown;
    setText(this.#latencyValue, shown);
    setText(this.#elapsed, clock(recordedMs));
    this.#source.hidden = !progress;
    if (progress) {
      setText(this.#source, `${progress.name} · ${clock(progress.givenMs)} of ${clock(progress.lengthMs)}`);
    }
    this.#file.hidden = state.phase !== "idle" || state.isOpening;
    setText(this.#emptyTitle, hopeOf(state));
    this.#showButton(state);
  }

  /** A line of words, for a while or until the next one. */
  notice(notice, isLasting) {
    clearTimeout(this.#timer);
    this.#notice.hidden = !notice;
    setText(this.#noticeText, notice?.text ?? "");
    if (!notice) return;
    this.#notice.dataset.tone = notice.tone;
    if (isLasting) return;
    this.#timer = setTimeout(() => this.notice(null, false), notice.tone === "bad" ? BAD_NOTICE_MS : NOTICE_MS);
  }

  #showButton(state) {
    const [action, label, name, icon] = faceOf(state);
    this.#button.dataset.action = action;
    setText(this.#label, label);
    setIcon(this.#button, icon);
    if (this.#button.getAttribute("aria-label") !== name) this.#button.setAttribute("aria-label", name);
  }
}

/** What is said where there is no text yet. */
function hopeOf({ isRecording, isFile }) {
  if (!isRecording) return "What is said appears here.";
  return isFile ? "Words appear in a moment." : "Listening. Speak now.";
}

function faceOf({ isOpening, isRecording, isFinishing, isFile }) {
  if (isFinishing) return ["wait", "Finishing", "Finishing: press to end without waiting", "stop"];
  if (isRecording) return ["stop", "Stop", isFile ? "Stop transcribing" : "Stop listening", "stop"];
  if (isOpening) return ["wait", "Starting", "Starting", "microphone"];
  return ["start", "Start", "Start listening", "microphone"];
}
