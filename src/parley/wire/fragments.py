"""WebSocket messages from their fragments (RFC 6455 section 5.4), bounded.

SageMaker's router makes one frame of each part a client sends, so a message in parts arrives here as fragments.
"""

from parley.core.errors import ParleyError


class FragmentBuffer:
    """Joins the fragments of one message at a time; `is_open` while one is incomplete."""

    __slots__ = ("_bytes", "_bytes_max", "_is_binary", "_parts", "is_open")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._bytes = 0
        self._is_binary = False
        self.is_open = False

    def begin(self, payload: bytes, *, is_binary: bool) -> None:
        """The first fragment.

        Raises:
            ParleyError: bad-request, when another message is incomplete.
        """
        if self.is_open:
            raise ParleyError("bad-request", "A message began before the one before it was complete.")
        self.is_open = True
        self._is_binary = is_binary
        self._add(payload)

    def append(self, payload: bytes, *, is_last: bool) -> tuple[bytes, bool] | None:
        """A further fragment; with the last one the whole message, and whether it is binary.

        Raises:
            ParleyError: bad-request, when no message is open; message-too-large.
        """
        if not self.is_open:
            raise ParleyError("bad-request", "A continuation frame arrived without a message to continue.")
        self._add(payload)
        if not is_last:
            return None
        message = b"".join(self._parts)
        self._parts, self._bytes, self.is_open = [], 0, False
        return message, self._is_binary

    def _add(self, payload: bytes) -> None:
        # An empty fragment costs a list slot and an object: count it, or they could be sent without end.
        self._bytes += len(payload) + 64
        if self._bytes > self._bytes_max:
            raise ParleyError("message-too-large", f"It may be {self._bytes_max} bytes long.")
        self._parts.append(payload)
