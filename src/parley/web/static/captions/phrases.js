/** Everything that the page says of how things stand, in words. */

/**
 * A position in the recording.
 * @param {number} ms
 * @returns {string} m:ss, or h:mm:ss from one hour on
 */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/**
 * A length of time, as short as it can be said.
 * @param {number} ms
 * @returns {string}
 */
export function span(ms) {
  if (ms < 995) return `${Math.round(ms / 10) * 10} ms`;
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : whole(ms);
}

/** A length of time in whole seconds, and in minutes once it is that long. */
function whole(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** @param {[number, number][]} intervals @returns {string} */
export function between(intervals) {
  const merged = intervals.map(([from, to]) => `${clock(from)} and ${clock(Math.max(to, from + 1000))}`);
  return `between ${merged.slice(0, 3).join(", ")}${merged.length > 3 ? " and elsewhere" : ""}`;
}

const KEPT_FROM_MS = 500;
/** A connection that takes no longer is worth no words. */
const CONNECTING_MS = 1_500;

/**
 * The pill.
 * @param {{phase: string, isOpening: boolean, isFinishing: boolean, isOnline: boolean, waitingMs: number,
 *   queued: number, isRecovering: boolean, lagMs: number, back: string, wasLive: boolean, isFile: boolean}} state
 * @returns {{tone: string, text: string}}
 */
export function standing(state) {
  const kept = state.waitingMs >= KEPT_FROM_MS ? ` · ${whole(state.waitingMs)} of audio kept` : "";
  switch (state.phase) {
    case "idle":
    case "ended":
      if (state.isOpening) return { tone: "quiet", text: state.isFile ? "Reading the recording" : "Opening the microphone" };
      return { tone: "quiet", text: "Ready" };
    case "locked":
      return { tone: "warn", text: `Sign-in needed${kept}` };
    case "live":
      return liveStanding(state);
    default:
      if (!state.isOnline) return { tone: "warn", text: `Offline${kept}` };
      if (!state.wasLive) return { tone: "quiet", text: `Connecting${state.waitingMs >= CONNECTING_MS ? kept : ""}` };
      return { tone: "warn", text: `Reconnecting${kept}` };
  }
}

function liveStanding(state) {
  if (state.queued > 0) return { tone: "warn", text: `In line · place ${state.queued}` };
  if (state.isRecovering) return { tone: "warn", text: "Changing model server" };
  if (state.back) return { tone: state.back === "whole" ? "good" : "warn", text: BACK[state.back] };
  if (state.isFinishing) return { tone: "good", text: "Finishing" };
  if (state.lagMs >= 1_000) return { tone: "warn", text: `Live · ${span(state.lagMs)} behind` };
  return { tone: "good", text: state.isFile ? "Transcribing" : "Live" };
}

const BACK = { whole: "Resumed · nothing lost", holed: "Resumed · words may be missing" };

/**
 * What the page says of an event, as a sentence or two; null for what needs no words.
 * @param {any} event of a session
 * @returns {{tone: string, text: string} | null}
 */
export function notice(event) {
  return Object.hasOwn(NOTICES, event.type) ? NOTICES[event.type](event) : null;
}

const good = (text) => ({ tone: "good", text });
const warn = (text) => ({ tone: "warn", text });
const bad = (text) => ({ tone: "bad", text });
const missing = (lost) => `Words may be missing ${between(lost)}.`;

const NOTICES = {
  lost: ({ wasLive }) =>
    wasLive
      ? warn("The connection was lost and is being made again. Go on speaking: what is said is kept.")
      : warn("The server can't be reached yet. Go on speaking: what is said is kept."),
  resumed: ({ outcome, lost, downtimeMs }) => {
    const back = `The connection is back after ${span(Math.max(100, downtimeMs))}.`;
    if (lost.length) return warn(`${back} ${missing(lost)}`);
    if (outcome === "resumed") return good(`${back} Nothing was lost.`);
    return good(`${back} Another model server heard the last audio again; nothing was lost.`);
  },
  restarted: ({ lost }) => {
    const begun = "The session could not be taken up again, and a new one goes on.";
    if (lost.length) return warn(`${begun} ${missing(lost)}`);
    return good(`${begun} What was not text yet is heard again; nothing was lost.`);
  },
  dropped: ({ lost }) =>
    bad(`The connection has been away for so long that not all audio could be kept. ${missing(lost)}`),
  recovering: () => warn("The model server was lost and another one takes over. Go on speaking."),
  recovered: ({ lost }) =>
    lost.length
      ? warn(`Another model server goes on. ${missing(lost)}`)
      : good("Another model server goes on. Nothing was lost."),
  gap: ({ lost, reason }) =>
    reason === "slow-client"
      ? warn("This page could not keep up; the text is whole again at the end of the turn.")
      : bad(`The server could not keep up and left audio out. ${missing(lost)}`),
  queued: ({ position, etaMs }) => {
    if (position <= 0) return null;
    const eta = etaMs === null ? "" : `, for about ${span(Math.max(1000, etaMs))}`;
    return warn(`The server is busy: this session waits${eta}. Go on speaking: what is said is kept.`);
  },
  goingAway: ({ moves, deadlineMs }) =>
    moves
      ? warn("This server is about to stop; the session moves to another one by itself.")
      : warn(`This server stops in ${span(deadlineMs)}. What was said until then is finished.`),
  expiring: ({ reason, inMs }) => warn(`The server ends this session in ${span(inMs)}: ${EXPIRING[reason] ?? reason}.`),
  turnFailed: () => bad("A part of what was said could not be transcribed."),
  problem: ({ code }) => warn(failure(code)),
  ended: ({ code }) => (code === "finished" || code === "stopped" ? null : bad(failure(code))),
};

const EXPIRING = {
  "idle-timeout": "nothing has been said for a while",
  "duration-limit": "it has lasted as long as a session may; another one follows",
  "lag-limit": "the model is too far behind",
};

const FAILURES = {
  unfinished: "The end of the text did not come in time. What is shown may lack the last words.",
  "origin-forbidden":
    "The server does not take this page under the name in the address bar. Open it by the server's IP address, " +
    "or have its operator allow this name (server.allowed_origins).",
  forbidden: "These credentials may not start a session here.",
  "model-not-found": "The server has no model of this name. Choose another one in the settings.",
  superseded: "This session was taken over by another page.",
  "ended-by-operator": "An operator ended the session.",
  "state-unsupported": "The session is at a server of another release and can't be taken up here.",
  "quota-exceeded": "The quota is used up for now. The page tries again.",
  "at-capacity": "The server is full at the moment. The page tries again.",
  "too-many-sessions": "There are too many sessions at the moment. The page tries again.",
  "too-many-connects": "Too many connect at the moment. The page tries again.",
  "upstream-unavailable": "The model server is not there, or still loading. The page tries again.",
  "shutting-down": "The server is restarting. The page tries again.",
  "idle-timeout": "The server ended the session because nothing was said. Another one begins.",
  "duration-limit": "The session lasted as long as it may. Another one begins.",
  "not-found": "There is no speech server at this address.",
  "microphone-denied":
    "The browser was not allowed to use the microphone. Allow it beside the address, then start again.",
  "microphone-missing": "No microphone was found. Connect one and start again, or drop a recording here.",
  "microphone-busy": "The microphone can't be opened; another program may be using it.",
  "audio-blocked":
    "The browser does not run audio just now. Check that a sound device is connected, then start again.",
  "microphone-lost": "The microphone is gone. What was said until then is finished.",
  "microphone-insecure":
    "Browsers give the microphone only to pages from https:// or from this computer. Open this page that way, " +
    "or drop a recording here.",
  "file-unreadable": "The browser can't read this as audio. Try WAV, MP3, Ogg, FLAC or M4A.",
  "file-too-large": "This recording is too large for a browser to hold. Up to 512 MB will do.",
  "file-empty": "There is no sound in this file.",
};

/**
 * A failure in words.
 * @param {string} code of docs/errors.md, or one of the page's own
 * @returns {string}
 */
export function failure(code) {
  return FAILURES[code] ?? `Something went wrong (${code}). If it stays so, the server's log says more.`;
}
