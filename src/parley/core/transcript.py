"""What was said of a turn so far, and where: the text that another leg has to go on from."""

from collections import deque
from collections.abc import Iterable, Iterator

from parley.core.content import Text
from parley.core.invariants import Invariant
from parley.core.snapshot import TranscriptState

_ENTRY_OVERHEAD_BYTES = 200
"""What a piece of text costs beside its characters: the object, its bytes, a pair and an integer (measured)."""


RECENT_MAX_BYTES = 1_048_576
"""What recent text may take: hours of speech, but a model server may say anything."""


class Transcript:
    """Text by its position, in samples since the turn began: words up to there have been said.

    *Settled* text is before the turn's replay point: no leg will say it again. *Recent* text is after it. Settled text
    is bounded: beyond `bytes_max` the oldest goes, and `from_position` says where what is left begins. `ends_otherwise`
    says that the client was told something else at the end, which can't be taken back.
    """

    __slots__ = (
        "_bytes_limit",
        "_bytes_max",
        "_dropped",
        "_recent",
        "_settled",
        "bytes",
        "ends_otherwise",
        "from_position",
        "last_position",
        "settled_characters",
    )

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes_limit = bytes_max + RECENT_MAX_BYTES
        self._settled: deque[tuple[int, Text]] = deque()
        self._dropped = 0
        self._recent: deque[tuple[int, Text]] = deque()
        self.bytes = 0
        self.last_position = 0
        self.from_position = 0
        self.ends_otherwise = False
        self.settled_characters = 0

    @property
    def settled(self) -> int:
        """How many runs of text have been settled: a mark to come back to with `final`."""
        return self._dropped + len(self._settled)

    @property
    def recent(self) -> list[tuple[int, Text]]:
        """The recent text by position, oldest first."""
        return list(self._recent)

    def add(self, position: int, text: Text) -> None:
        """Text was said, and told."""
        self.ends_otherwise = False
        self._recent.append((position, text))
        self.last_position = position
        self.bytes += len(text.literal) + _ENTRY_OVERHEAD_BYTES
        if self.bytes > self._bytes_limit:
            # So much is not said of the audio that a replay has: what was said first stands.
            self.settle(self._recent[len(self._recent) // 2][0])

    def settle(self, position: int) -> None:
        """No leg will say again what was said by this position."""
        recent = self._recent
        if not recent or recent[0][0] > position:
            return
        run: list[Text] = []
        end = 0
        while recent and recent[0][0] <= position:
            end, text = recent.popleft()
            run.append(text)
            self.bytes -= len(text.literal) + _ENTRY_OVERHEAD_BYTES
        joined = Text.joined(run)
        self.settled_characters += len(joined.decode())
        self._settled.append((end, joined))
        self.bytes += len(joined.literal) + _ENTRY_OVERHEAD_BYTES
        while self.bytes > self._bytes_max and self._settled:
            self.from_position, text = self._settled.popleft()
            self._dropped += 1
            self.bytes -= len(text.literal) + _ENTRY_OVERHEAD_BYTES

    def replace_recent(self, entries: Iterable[tuple[int, Text]], *, ends_otherwise: bool = False) -> None:
        """Another leg said the recent text again, perhaps in other words."""
        self.ends_otherwise = ends_otherwise
        self.bytes -= sum(len(text.literal) + _ENTRY_OVERHEAD_BYTES for _, text in self._recent)
        self._recent = deque(entries)
        self.bytes += sum(len(text.literal) + _ENTRY_OVERHEAD_BYTES for _, text in self._recent)
        self.last_position = max((position for position, _ in self._recent), default=self.last_position)

    def final(self, mark: int, rest: Text) -> Text:
        """The text settled up to a mark, and the rest."""
        count = max(0, mark - self._dropped)
        settled = [text for _, text in self._settled]
        return Text.joined([*settled[:count], rest])

    def invariants(self) -> Iterator[Invariant]:
        """What holds of its text and their total."""
        entries = [*self._settled, *self._recent]
        total = sum(len(text.literal) + _ENTRY_OVERHEAD_BYTES for _, text in entries)
        yield self.bytes == total, "the text's bytes add up"
        positions = [position for position, _ in self._recent]
        yield positions == sorted(positions), "text is in order"

    def state(self) -> TranscriptState:
        """The text and where it is, as data."""
        return TranscriptState(
            tuple(self._settled),
            tuple(self._recent),
            self._dropped,
            self.last_position,
            self.from_position,
            self.ends_otherwise,
            self.settled_characters,
        )

    def restore(self, state: TranscriptState) -> None:
        """Go on from what another one had."""
        self._settled, self._recent = deque(state.settled), deque(state.recent)
        self._dropped = state.dropped
        self.last_position = state.last_position
        self.from_position = state.from_position
        self.ends_otherwise = state.ends_otherwise
        self.settled_characters = state.settled_characters
        self.bytes = sum(len(text.literal) + _ENTRY_OVERHEAD_BYTES for _, text in (*self._settled, *self._recent))
