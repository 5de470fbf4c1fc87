"""How long a connection's peer takes to answer a PING (RFC 6455 section 5.5.2, RFC 9113 section 6.7).

Nothing is asked unless somebody wants to know, and one at a time: whoever looks at `seen_s` sends what `ask` gives.
"""

INTERVAL_S = 5.0
"""Between two questions."""


class RoundTrip:
    """The round trips of one connection, on a clock that its owner gives the times of."""

    __slots__ = ("_asked_at", "_count", "_is_awaited", "_seen_s")

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._count = 0
        self._is_awaited = False
        self._seen_s: float | None = None

    def ask(self, now: float) -> bytes | None:
        """The eight bytes that a PING is to carry now; None when none is due."""
        if self._is_awaited or (self._asked_at is not None and now - self._asked_at < INTERVAL_S):
            return None
        self._asked_at = now
        self._is_awaited = True
        self._count += 1
        return self._payload

    def answered(self, payload: bytes, now: float) -> None:
        """A PONG came; one that answers something else is none of ours."""
        if self._is_awaited and payload == self._payload:
            assert self._asked_at is not None, "it was asked"
            self._is_awaited = False
            self._seen_s = now - self._asked_at

    def forget(self) -> None:
        """The answer would not be read: it is not waited for."""
        self._is_awaited = False

    def seen_s(self, now: float) -> float | None:
        """The last round trip, or how long the answer has been waited for, if that is more; None before the first."""
        if not self._is_awaited or self._asked_at is None:
            return self._seen_s
        waited_s = now - self._asked_at
        if self._seen_s is not None:
            return max(self._seen_s, waited_s)
        return waited_s if waited_s > INTERVAL_S else None

    @property
    def _payload(self) -> bytes:
        return b"rt" + self._count.to_bytes(6, "big")
