/** The messages of a session, as the server takes and gives them: docs/protocol.md, "The session contract". */

/** What an input asks for. Every one counts, from 1, in the session that it is sent in. */
export const Kind = Object.freeze({ START: "start", AUDIO: "audio", END: "end", CLOSE: "close" });

const START = JSON.stringify({ type: "input_audio_buffer.commit" });
const END = JSON.stringify({ type: "input_audio_buffer.commit", final: true });
const CLOSE = JSON.stringify({ type: "session.end" });
const ITEM = /^item_([1-9][0-9]{0,15})$/;

/** Events that only say where things stand: they carry no number. */
export const UNNUMBERED = new Set([
  "session.created",
  "session.updated",
  "session.resumed",
  "session.ack",
  "session.queued",
  "session.lagging",
  "session.expiring",
  "session.going_away",
]);

/** Errors after which the session can't be had again, though another may be begun. */
export const GONE = new Set(["unknown-session", "expired", "gap", "state-unreadable"]);

/** Errors that other credentials would help against. */
export const UNKNOWN_CALLER = new Set([
  "credentials-missing",
  "invalid-token",
  "expired-credentials",
  "wrong-principal",
  "unknown-credentials",
  "not-authenticated",
]);

/** Errors that trying again does not help against. */
export const HOPELESS = new Set([
  "forbidden",
  "origin-forbidden",
  "model-not-found",
  "superseded",
  "ended-by-operator",
  "consent-missing",
  "state-unsupported",
  "not-found",
]);

/** @param {string} token */
export const authenticate = (token) => JSON.stringify({ type: "session.authenticate", token });

/** @param {string} model empty: whichever the server has */
export const optIn = (model) => JSON.stringify({ type: "session.update", model, parley: { resume: true } });

/** @param {string} model for a server that offers no contract */
export const update = (model) => JSON.stringify({ type: "session.update", model });

/** @param {string} token @param {number} seq */
export const resume = (token, seq) => JSON.stringify({ type: "session.resume", token, seq });

/** @param {number} seq */
export const acknowledge = (seq) => JSON.stringify({ type: "session.ack", seq });

/**
 * An input as a message.
 * @param {string} kind
 * @param {string} [audio] base64
 * @returns {string}
 */
export function input(kind, audio = "") {
  if (kind === Kind.AUDIO) return `{"type":"input_audio_buffer.append","audio":"${audio}"}`;
  return { [Kind.START]: START, [Kind.END]: END, [Kind.CLOSE]: CLOSE }[kind];
}

/**
 * A message of the server's; null where it is none that can be read.
 * @param {unknown} data
 * @returns {{type: string, seq?: number} | null}
 */
export function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const event = JSON.parse(data);
    return event !== null && typeof event === "object" && typeof event.type === "string" ? event : null;
  } catch {
    return null;
  }
}

/**
 * The number of an event's turn in its session, from 1; 0 where it has none.
 * @param {{item_id?: string}} event
 * @returns {number}
 */
export function itemOf(event) {
  const found = ITEM.exec(event.item_id ?? "");
  return found ? Number(found[1]) : 0;
}

/**
 * An error event's code, in Parley's words where it has them.
 * @param {{code?: string, parley?: {code?: string}}} event
 * @returns {string}
 */
export function codeOf(event) {
  return event.parley?.code ?? event.code ?? "unknown-error";
}
