"""Numbered output that the client has not acknowledged, kept so that it can be sent again."""

from collections import deque
from collections.abc import Iterable, Iterator

from parley.core.effects import SendDelta, SendDone, SendError, SendNotice
from parley.core.invariants import Invariant
from parley.core.notices import TextRevised

type Output = SendDelta | SendDone | SendError | SendNotice

_OUTPUT_OVERHEAD_BYTES = 256
"""What an output costs beside its text: the effect, its content's object and a slot in the queue (measured)."""


def cost_bytes(output: Output) -> int:
    """The memory that a kept output takes."""
    match output:
        case SendDelta(text) | SendDone(text) | SendNotice(TextRevised(text=text)):
            return len(text.literal) + _OUTPUT_OVERHEAD_BYTES
        case _:
            return 2 * _OUTPUT_OVERHEAD_BYTES


class Ledger:
    """Outputs from `acknowledged` + 1 to `last`, in the order of their numbers; bounded in bytes."""

    __slots__ = ("_bytes_max", "_outputs", "acknowledged", "bytes", "last")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._outputs: deque[Output] = deque()
        self.bytes = 0
        self.last = 0
        self.acknowledged = 0

    def next(self) -> int:
        """The number of the output that is entered next."""
        return self.last + 1

    def enter(self, output: Output) -> None:
        """Keep an output, which carries the next number. At the bound the oldest go, but never the one just entered."""
        assert output.seq == self.last + 1, "numbers have no gaps"
        self.last += 1
        self._outputs.append(output)
        self.bytes += cost_bytes(output)
        while self.bytes > self._bytes_max and len(self._outputs) > 1:
            self._drop()

    def acknowledge(self, seq: int) -> None:
        """The client has everything up to here."""
        while self.acknowledged < seq and self._outputs:
            self._drop()

    def reaches(self, seq: int) -> bool:
        """Whether everything after this number can be sent again."""
        return self.acknowledged <= seq <= self.last

    def after(self, seq: int) -> list[Output]:
        """Everything after a number that `reaches` allows."""
        return list(self._outputs)[seq - self.acknowledged :]

    def clear(self) -> None:
        """Drop everything."""
        self._outputs.clear()
        self.bytes = 0
        self.acknowledged = self.last

    def _drop(self) -> None:
        self.bytes -= cost_bytes(self._outputs.popleft())
        self.acknowledged += 1

    def invariants(self) -> Iterator[Invariant]:
        """What holds of its numbers and total."""
        numbers = [output.seq for output in self._outputs]
        yield self.acknowledged >= 0, "numbers begin with 1"
        yield numbers == list(range(self.acknowledged + 1, self.last + 1)), "numbers have no gaps"
        yield self.bytes == sum(map(cost_bytes, self._outputs)), "the outputs' bytes add up"
        yield self.bytes <= self._bytes_max or len(self._outputs) == 1, "the ledger is bounded"

    def restore(self, acknowledged: int, outputs: Iterable[Output]) -> None:
        """Go on with another ledger's outputs, from the number after `acknowledged` on.

        Raises:
            ValueError: their numbers don't follow.
        """
        self.acknowledged = self.last = acknowledged
        for output in outputs:
            if output.seq != self.next():
                raise ValueError("numbers have no gaps")
            self.enter(output)
