"""Connections that show who they are with their first event, as a page that can't set headers may.

```
upgrade with ?auth=event ─► Narrow: at most so many bytes ─► {"type":"session.authenticate","token":...} ─► gate
                              until then nothing else is known, begun or opened
```
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import msgspec

from parley.access.gate import Gate
from parley.access.identity import Identity, RequestHead
from parley.core.errors import ParleyError
from parley.ingress.threshold import parameter

FIRST_EVENT_MAX_BYTES = 8_192
"""With its frame's head, and whatever else comes before it."""
FIRST_EVENT_TIMEOUT_S = 10.0

_SCRATCH_BYTES = 1_024
"""What is read into of a connection that is refused, and thrown away."""


class _Authenticate(msgspec.Struct, tag_field="type", tag="session.authenticate", frozen=True):
    token: str


def asks_to_authenticate(head: bytes) -> bool:
    """Whether an upgrade's target says that the first event will tell who it is from."""
    query = head.split(b"\r\n", 1)[0].decode("latin-1").partition("?")[2].partition(" ")[0]
    # A query of too many fields is refused by whoever answers it.
    with contextlib.suppress(ParleyError):
        return parameter(query, "auth") == "event"
    return False


class Proof:
    """What a connection has to show yet: its upgrade's head, which gets the first event's token as a bearer token."""

    def __init__(self, gate: Gate, head: RequestHead) -> None:
        self._gate = gate
        self._head = head

    def show(self, message: bytes) -> Identity:
        """Who the connection is from, by its first message.

        Raises:
            ParleyError: credentials-missing for any other message, or what the gate says.
        """
        try:
            token = msgspec.json.decode(message, type=_Authenticate).token
        except (msgspec.DecodeError, ValueError):
            raise missing() from None
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise ParleyError("invalid-token", "A token is printable ASCII without spaces.")
        headers = (*self._head.headers, ("authorization", f"Bearer {token}"))
        return self._gate.identify(replace(self._head, headers=headers))


def missing(detail: str = "") -> ParleyError:
    """The first event was none that says who the connection is from."""
    said = detail or "It was another message."
    return ParleyError("credentials-missing", f"The first message is to be session.authenticate with a token. {said}")


class Narrow(asyncio.BufferedProtocol):
    """Stands between a connection and the protocol that serves it: once it `narrows`, it lets `bytes_max` bytes of what
    comes through. picows has a buffer of its own, which doubles for as long as a frame goes on.

    `widen` takes it out of the way. Whoever sends too much is reported once to `on_full`; what still comes is read and
    thrown away.
    """

    def __init__(self) -> None:
        self._inner: Any = None
        self._transport: asyncio.Transport | None = None
        self._left_bytes: int | None = None
        self._on_full: Callable[[], None] | None = None
        self._scratch: bytearray | None = None

    def around(self, inner: Any) -> "Narrow":
        """Itself, before this protocol."""
        self._inner = inner
        return self

    def narrows(self, bytes_max: int, on_full: Callable[[], None]) -> None:
        """From here on, no more than this."""
        self._left_bytes = bytes_max
        self._on_full = on_full

    def widen(self) -> None:
        """From here on, whatever comes."""
        self._left_bytes = self._on_full = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.set_protocol(self._inner)

    # ---- from the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        # Loops have transports of their own, which are none of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(transport)

    def get_buffer(self, sizehint: int) -> Any:
        """See `asyncio.BufferedProtocol`."""
        if self._scratch is not None:
            return self._scratch
        room = memoryview(self._inner.get_buffer(sizehint))
        return room if self._left_bytes is None else room[: self._left_bytes]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        if self._scratch is not None:
            return
        if self._left_bytes is not None:
            self._left_bytes -= nbytes
        self._inner.buffer_updated(nbytes)
        if self._left_bytes == 0 and self._on_full is not None:
            self._scratch = bytearray(_SCRATCH_BYTES)
            self._on_full()

    def eof_received(self) -> Any:
        """See `asyncio.BufferedProtocol`."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = None
        self._inner.connection_lost(exc)
