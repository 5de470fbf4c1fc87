"""Why a connection did not come about, in words that say what to do."""

import json
import ssl
from typing import Any

from picows import WSHandshakeError

from parley.client.failure import SessionFailed
from parley.core.errors import ERRORS, Fault, Retry

_BODY_MAX_BYTES = 16_384


def connect_failure(where: str, error: Exception) -> SessionFailed:
    """The failure of a connection that was never made. `where` is the server's origin."""
    if isinstance(error, ConnectionRefusedError):
        message = f"Nothing listens at {where}. Start a server with `parley serve`, or name another one with --url."
    elif isinstance(error, TimeoutError):
        message = f"{where} did not answer in time. Check the address, and that no firewall is between."
    elif isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "TLS error"
        message = f"{where} did not offer a certificate that this machine trusts ({reason})."
    elif isinstance(error, ConnectionError):
        message = f"{where} hung up before the session began. Check that it is a WebSocket server."
    else:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        message = f"{where} can't be reached: {reason}. Check the address."
    return SessionFailed("connect-failed", message, fault=Fault.SERVER, retry=Retry.NEW_SESSION)


def handshake_failure(where: str, error: WSHandshakeError) -> SessionFailed:
    """The failure of a handshake that was answered with something else than a WebSocket."""
    response = error.response
    if response is None:
        message = f"{where} answered with something that is not a WebSocket handshake. Check the address."
        return SessionFailed("connect-refused", message, fault=Fault.SERVER, retry=Retry.NEVER)
    status = int(response.status)
    retry_after_s = _seconds(response.headers.get("Retry-After"))
    body = _error_object(error.raw_body or b"")
    spec = ERRORS.get(str(body.get("code", "")))
    if spec is not None:
        after_s = body.get("retry_after_s")
        return SessionFailed(
            spec.code,
            str(body.get("message") or spec.summary),
            fault=spec.fault,
            retry=spec.retry,
            retry_after_s=after_s if isinstance(after_s, int | float) else retry_after_s,
        )
    return _by_status(where, status, retry_after_s)


def _by_status(where: str, status: int, retry_after_s: float | None) -> SessionFailed:
    fault, retry = (Fault.SERVER, Retry.NEW_SESSION) if status >= 500 else (Fault.CLIENT, Retry.NEVER)
    if status == 401:
        advice = "It wants an API key: set PARLEY_API_KEY, or pass `api_key`."
    elif status in (403, 404):
        # vLLM answers 403 both for a wrong path and for a model that can't do realtime.
        advice = "There is no realtime endpoint at this path, or its model does not support one."
    elif status == 429:
        retry, advice = Retry.NEW_SESSION, "Too many requests: try again later."
    elif status >= 500:
        advice = "It is not ready, or overloaded: try again later, and look at its log."
    else:
        advice = "Check the address."
    message = f"{where} answered the WebSocket handshake with HTTP {status}. {advice}"
    return SessionFailed("connect-refused", message, fault=fault, retry=retry, retry_after_s=retry_after_s)


def _error_object(body: bytes) -> dict[str, Any]:
    """The object under `error` of a JSON body, or nothing."""
    try:
        document = json.loads(body[:_BODY_MAX_BYTES])
    except ValueError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 7 else None
