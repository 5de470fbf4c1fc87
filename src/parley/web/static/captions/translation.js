/** The server's events as the page takes them: its own turns, and places in the recording. */

import { itemOf } from "./contract.js";

/** Audio that one delta stands for: docs/transcribe.md, "How exact the times are". */
export const STEP_MS = 80;

const STATES = {
  "session.queued": (event) => ({ type: "queued", position: event.position, etaMs: event.eta_ms ?? null }),
  "session.lagging": (event) => ({ type: "lagging", lagMs: event.lag_ms }),
  "session.expiring": (event) => ({ type: "expiring", reason: event.reason, inMs: event.in_ms }),
  "session.going_away": (event) => ({ type: "goingAway", deadlineMs: event.deadline_ms, moves: event.moves === true }),
  "session.recovering": (event) => ({ type: "recovering", reason: event.reason }),
};

/**
 * What the page is told of an event of a live session; null for what does not concern it. `isOver` says that nothing
 * more comes of the event's turn.
 * @param {any} event
 * @param {import("./turns.js").Turns} turns
 * @param {import("./session_clock.js").SessionClock} clock
 * @returns {any}
 */
export function told(event, turns, clock) {
  if (Object.hasOwn(STATES, event.type)) return STATES[event.type](event);
  if (event.type === "session.recovered") {
    return { type: "recovered", outcome: event.outcome, lost: clock.recorded(event.lost) };
  }
  if (event.type === "session.gap") {
    return { type: "gap", reason: event.reason, lost: clock.recorded([[event.from_ms, event.to_ms]]) };
  }
  const turn = turns.of(itemOf(event));
  return turn === undefined ? null : toldOfTurn(event, turn, turns);
}

function toldOfTurn(event, turn, turns) {
  switch (event.type) {
    case "transcription.delta":
      return { type: "delta", turn, text: event.delta, heardMs: turns.step(turn) * STEP_MS };
    case "transcription.done": {
      const hasExactTimes = turns.over(turn) === event.usage?.completion_tokens;
      const isWhole = event.text_from_ms === undefined;
      return { type: "done", turn, text: event.text, hasExactTimes, isWhole, isOver: true };
    }
    case "transcription.revised":
      return { type: "revised", turn, start: event.start, end: event.end, text: event.text };
    case "transcription.failed":
      turns.over(turn);
      return { type: "turnFailed", turn, code: event.error?.code, message: event.error?.message, isOver: true };
    case "transcription.cancelled":
    case "input_audio_buffer.cleared":
      turns.over(turn);
      return { type: "voided", turn, isOver: true };
    default:
      return null;
  }
}
