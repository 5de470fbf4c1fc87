/** The admin API, as the page asks it. The credential is kept here and nowhere else. */

const PREFIX = "admin/v1";

/** What the API refused, in its own words. */
export class Refused extends Error {
  /** @param {number} status @param {string} code @param {string} message @param {number | null} retryAfterS */
  constructor(status, code, message, retryAfterS = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** Codes after which another credential is wanted. */
export const WANTS_CREDENTIAL = new Set(["credentials-missing", "invalid-token", "expired-credentials"]);

/** @param {unknown} error @returns {string} for the person at the page */
export function inWords(error) {
  if (error instanceof Refused) return error.message;
  return "The node does not answer. Is it running, and is this machine connected to it?";
}

export class Api {
  #credential = "";

  /** @param {string} credential empty for none */
  signIn(credential) {
    this.#credential = credential;
  }

  get isSignedIn() {
    return this.#credential !== "";
  }

  /**
   * The JSON of an answer.
   * @param {string} path with its query @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  async get(path, options = {}) {
    return (await this.ask("GET", path, undefined, options)).json();
  }

  /** @param {string} path @param {object} [fields] @returns {Promise<any>} */
  async post(path, fields = {}) {
    return (await this.ask("POST", path, fields)).json();
  }

  /** @param {string} path @returns {Promise<any>} */
  async delete(path) {
    return (await this.ask("DELETE", path)).json();
  }

  /**
   * An answer that is not an error.
   * @param {string} method @param {string} path @param {object} [fields] @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   */
  async ask(method, path, fields, { signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.#credential) headers.Authorization = `Bearer ${this.#credential}`;
    if (fields) headers["Content-Type"] = "application/json";
    const body = fields ? JSON.stringify(fields) : undefined;
    const options = { method, headers, body, signal, cache: "no-store", credentials: "omit", redirect: "error" };
    const response = await fetch(`${PREFIX}/${path}`, /** @type {RequestInit} */ (options));
    if (response.ok) return response;
    throw await refusal(response);
  }
}

async function refusal(response) {
  try {
    const { error } = await response.json();
    return new Refused(response.status, error.code, error.message, error.retry_after_s ?? null);
  } catch {
    return new Refused(response.status, "", `The node answered with status ${response.status} and said no more.`);
  }
}
