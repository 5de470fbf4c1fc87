"""Results on their way to the client, joined while it does not read or is not there."""

from parley.core.content import Text
from parley.core.effects import SendDelta
from parley.core.ledger import Output, cost_bytes


class Outbox:
    """Holds results that can't be sent.

    Adjacent deltas of a turn are joined into one: no text is lost, and a slow reader gets fewer, larger messages.
    """

    __slots__ = ("_bytes_max", "_held", "_item", "_joinable", "held_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.held_bytes = 0
        self._bytes_max = bytes_max
        self._held: list[Output] = []
        self._joinable: list[Text] = []
        self._item = 0

    @property
    def is_full(self) -> bool:
        """Whether more is held than the bound allows."""
        return self.held_bytes > self._bytes_max

    def hold_delta(self, text: Text, item: int) -> None:
        """Keep a piece of a turn's transcript."""
        if item != self._item:
            self._join()
            self._item = item
        self._joinable.append(text)
        # A joined piece costs its object until it is joined, also when it is empty.
        self.held_bytes += len(text.literal) + 64

    def hold(self, output: Output) -> None:
        """Keep any other output, behind the text before it."""
        self._join()
        self._held.append(output)
        self.held_bytes += cost_bytes(output)

    def release(self) -> list[Output]:
        """All that was held, in order."""
        self._join()
        held, self._held, self.held_bytes = self._held, [], 0
        return held

    def _join(self) -> None:
        if self._joinable:
            self._held.append(SendDelta(Text.joined(self._joinable), item=self._item))
            self._joinable = []
