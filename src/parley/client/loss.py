"""The failure of a session whose connection is gone for good, in words that say what is not known."""

from collections.abc import Sequence

from parley.client.failure import SessionFailed
from parley.core.errors import ERRORS, Fault, ParleyError, Retry

NORMAL_CLOSE = 1000
NO_CLOSE_CODE = 1005
"""RFC 6455 section 7.1.5's number for a close frame without a code."""

NO_CLOSE_FRAME = 1006
"""The same section's number for a connection that went away without a close frame."""

REFUSALS = ("unknown-session", "state-unreadable", "expired", "gap", "forbidden", "wrong-principal", "superseded")
"""The codes with which a server says that the session can't be had again. Of those with one close code the last is what
that code alone is taken for."""

_REFUSAL_CLOSES = {ERRORS[code].ws_close: code for code in REFUSALS}
_CLOSES = {
    NORMAL_CLOSE: "a normal end",
    1001: "going away",
    1002: "a protocol error",
    NO_CLOSE_CODE: "no code",
    NO_CLOSE_FRAME: "no close frame: it crashed, or the network failed",
    1008: "a policy violation",
    1009: "a message too large",
    1011: "an internal error",
    1012: "a restart",
    1013: "try again later",
}
_CLIENT_CLOSES = frozenset({1003, 1007, 1008, 1009})


def refusal_of(close_code: int) -> SessionFailed | None:
    """The failure of a session that the server refuses with its close code; None for another code."""
    code = _REFUSAL_CLOSES.get(close_code)
    return SessionFailed.of(ParleyError(code)) if code is not None else None


def lost(close_code: int, when: str) -> SessionFailed:
    """The failure of a session that could not be resumed."""
    message = f"The connection ended {when} ({_named(close_code)}). Start a new session and send it again."
    return _failure(close_code, message)


def lost_for_good(
    close_code: int, downtime_s: float, attempts: int, pending: Sequence[int], last: SessionFailed | None
) -> SessionFailed:
    """The failure of a session that the client tried to resume. `pending` are the items that were not done."""
    tried = f"{attempts} attempts in {downtime_s:.1f} s" if attempts != 1 else f"1 attempt in {downtime_s:.1f} s"
    # What another server says of a failure may quote speech; its code can't.
    cause = f"; the last one ended with {last.code}" if last is not None else ""
    message = f"The connection was lost ({_named(close_code)}), and {tried} did not bring the session back{cause}."
    if pending:
        items = ", ".join(map(str, pending))
        message += (
            f" These turns were not done, and what was said in them after the text received is not known: {items}."
        )
    return _failure(close_code, f"{message} Start a new session for what is missing.")


def _named(close_code: int) -> str:
    return f"code {close_code}, {_CLOSES.get(close_code, 'an unknown code')}"


def _failure(close_code: int, message: str) -> SessionFailed:
    fault = Fault.CLIENT if close_code in _CLIENT_CLOSES else Fault.SERVER
    return SessionFailed("connection-lost", message, fault=fault, retry=Retry.NEW_SESSION)
