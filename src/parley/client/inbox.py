"""Messages that wait for the session, bounded: what a link keeps between its transport and its reader."""

from collections import deque
from collections.abc import Callable


class Inbox:
    """Whole messages in the order of arrival.

    Above one of its bounds `set_reading(False)` stops the transport, at half of both `set_reading(True)` has it go on;
    either may be said again. After `discard` nothing is kept, and the transport is read to its end.
    """

    __slots__ = ("_bytes", "_bytes_max", "_is_discarding", "_messages", "_messages_max", "_set_reading")

    def __init__(self, *, messages_max: int, bytes_max: int, set_reading: Callable[[bool], None]) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._set_reading = set_reading
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._is_discarding = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> bool:
        """A message has come; whether it is kept."""
        if self._is_discarding:
            return False
        self._messages.append(message)
        self._bytes += len(message)
        if len(self._messages) >= self._messages_max or self._bytes >= self._bytes_max:
            self._set_reading(False)
        return True

    def take(self) -> bytes | None:
        """The next message; None when there is none."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._bytes -= len(message)
        if len(self._messages) <= self._messages_max // 2 and self._bytes <= self._bytes_max // 2:
            self._set_reading(True)
        return message

    def discard(self) -> None:
        """Nobody will read any more; the transport still has to be read for the peer's answer to a close."""
        self._is_discarding = True
        self._messages.clear()
        self._bytes = 0
        self._set_reading(True)
