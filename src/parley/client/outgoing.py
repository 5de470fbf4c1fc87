"""Input on its way to the server: what waits to be sent, and what was sent and not acknowledged."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

OVERHEAD_BYTES = 128
"""What a kept message costs beside its bytes."""


class Kind(Enum):
    """What an input asks for."""

    START = "start"
    AUDIO = "audio"
    END = "end"
    CLEAR = "clear"
    CANCEL = "cancel"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Input:
    """One message of input; `duration_s` is the audio in it."""

    kind: Kind
    message: bytes = field(repr=False)
    duration_s: float = 0.0


class Outgoing:
    """Inputs in order, each with a number from 1: up to `acked` they are the server's; then come those sent on this
    connection, then those that wait."""

    __slots__ = ("_sent", "_waiting", "acked", "bytes", "duration_s")

    def __init__(self) -> None:
        self._sent: deque[Input] = deque()
        self._waiting: deque[Input] = deque()
        self.acked = 0
        self.bytes = 0
        self.duration_s = 0.0

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    @property
    def last_sent(self) -> int:
        """The number of the last input that was sent on this connection, or acknowledged."""
        return self.acked + len(self._sent)

    def append(self, item: Input) -> None:
        """A further input waits."""
        self._waiting.append(item)
        self.bytes += len(item.message) + OVERHEAD_BYTES
        self.duration_s += item.duration_s

    def head(self) -> Input | None:
        """The input that waits longest."""
        return self._waiting[0] if self._waiting else None

    def send_all(self) -> Iterator[Input]:
        """What waits, as it is sent; it is kept until it is acknowledged."""
        while self._waiting:
            item = self._waiting.popleft()
            self._sent.append(item)
            yield item

    def release(self) -> Input:
        """The head, which is sent and not kept."""
        item = self._waiting.popleft()
        self._forget(item)
        return item

    def acknowledge(self, number: int) -> bool:
        """The server has everything up to here; False when that can't be: less than before, or more than was sent."""
        if not self.acked <= number <= self.last_sent:
            return False
        while self.acked < number:
            self._forget(self._sent.popleft())
            self.acked += 1
        return True

    def rewind(self, number: int | None = None) -> bool:
        """Another connection: the server has everything up to `number`, and the rest waits again.

        False when the server can't have that number. None: nothing is known of what it has.
        """
        if number is not None and not self.acknowledge(number):
            return False
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        return True

    def _forget(self, item: Input) -> None:
        self.bytes -= len(item.message) + OVERHEAD_BYTES
        # Sums of floats drift; with nothing left there is no audio.
        self.duration_s = self.duration_s - item.duration_s if len(self) else 0.0
