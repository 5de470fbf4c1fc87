/** What the server says over plain HTTP: who may come in, which models it has, and why a connection was refused. */

const TIMEOUT_MS = 5_000;

/** The address of a route beside this page, which need not be at the root of its host. */
const address = (route) => new URL(route, document.baseURI);

/** @returns {string} where sessions are, as a WebSocket's address */
export function sessionUrl() {
  const url = address("v1/realtime");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * What a caller with this credential finds.
 * @param {string} credential empty for none
 * @returns {Promise<{isKnown: boolean, models: string[]}>} isKnown: nothing more is asked of the caller
 */
export async function lookAround(credential) {
  const headers = credential ? { Authorization: `Bearer ${credential}` } : {};
  const answer = await ask("v1/models", { headers });
  if (!answer) return { isKnown: true, models: [] };
  if (answer.status === 401 || answer.status === 403) return { isKnown: false, models: [] };
  const listing = await answer.json().catch(() => null);
  const models = Array.isArray(listing?.data) ? listing.data.map((model) => String(model.id)) : [];
  return { isKnown: true, models };
}

/**
 * Why a connection could not be made, which a browser keeps from the page that made it.
 * @param {string} credential
 * @returns {Promise<string>} an error's code; empty where nothing speaks against it
 */
export async function diagnose(credential) {
  // A POST, as that tells the server of which address this page is.
  const answer = await ask("ping", { method: "POST" });
  if (!answer) return "unreachable";
  if (!answer.ok) {
    const body = await answer.json().catch(() => null);
    return String(body?.error?.code ?? "unreachable");
  }
  return (await lookAround(credential)).isKnown ? "" : "credentials-missing";
}

async function ask(route, options) {
  try {
    return await fetch(address(route), {
      ...options,
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    return null;
  }
}
