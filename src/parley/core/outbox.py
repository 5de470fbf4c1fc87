"""Results on their way to the client, joined while it does not read."""

from parley.core.content import Text
from parley.core.effects import Effect, SendDelta, SendDone


class Outbox:
    """Holds results while the client is `blocked`.

    Meanwhile adjacent deltas are joined into one: no text is lost, and a slow reader gets fewer, larger messages.
    """

    __slots__ = ("_bytes_max", "_held", "_joinable", "blocked", "held_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.blocked = False
        self.held_bytes = 0
        self._bytes_max = bytes_max
        self._held: list[SendDone | SendDelta] = []
        self._joinable: list[Text] = []

    @property
    def is_full(self) -> bool:
        """Whether more is held than the bound allows."""
        return self.held_bytes > self._bytes_max

    def hold(self, text: Text) -> None:
        """Keep a piece of transcript until the client reads again."""
        self._joinable.append(text)
        # A joined piece costs its object until it is joined, also when it is empty.
        self.held_bytes += len(text.literal) + 64

    def done(self, effect: SendDone) -> list[Effect]:
        """The end of a turn: sent now, or held behind the deltas before it."""
        if not self.blocked:
            return [effect]
        self._join()
        self._held.append(effect)
        self.held_bytes += len(effect.text.literal) + 256
        return []

    def block(self) -> None:
        """The client stopped reading."""
        self.blocked = True

    def unblock(self) -> list[Effect]:
        """The client reads again: all that was held."""
        self.blocked = False
        self._join()
        held, self._held, self.held_bytes = self._held, [], 0
        return list(held)

    def _join(self) -> None:
        if self._joinable:
            self._held.append(SendDelta(Text.joined(self._joinable)))
            self._joinable = []
