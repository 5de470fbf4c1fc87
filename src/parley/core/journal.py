"""A turn's audio, kept until no replay needs it any more."""

from collections import deque
from collections.abc import Iterator

from parley.core.content import Audio
from parley.core.invariants import Invariant
from parley.core.snapshot import JournalState

PIECE_OVERHEAD_BYTES = 160
"""What a kept piece costs beside its payload: two objects, a bytes header and a slot in the queue (measured)."""


def cost_bytes(audio: Audio) -> int:
    """The memory that a kept piece takes."""
    return len(audio.payload) + PIECE_OVERHEAD_BYTES


class Journal:
    """Pieces of audio in order. Positions are samples since the turn began, indexes count all pieces of the turn.

    `start` is where the oldest piece that is kept begins, `end` where the newest ends.
    """

    __slots__ = ("_pieces", "bytes", "end", "first", "start")

    def __init__(self) -> None:
        self._pieces: deque[Audio] = deque()
        self.first = 0
        self.start = 0
        self.end = 0
        self.bytes = 0

    @property
    def next(self) -> int:
        """The index that the next piece will have."""
        return self.first + len(self._pieces)

    def append(self, audio: Audio) -> None:
        """Keep a piece."""
        self._pieces.append(audio)
        self.end += audio.samples
        self.bytes += len(audio.payload) + PIECE_OVERHEAD_BYTES

    @property
    def oldest(self) -> Audio:
        """The oldest piece; IndexError when none is kept."""
        return self._pieces[0]

    def piece(self, index: int) -> Audio:
        """The piece of this index; IndexError when it is not kept any more, or not there yet."""
        if index < self.first:
            raise IndexError(index)
        return self._pieces[index - self.first]

    def drop(self) -> Audio:
        """Let the oldest piece go."""
        audio = self._pieces.popleft()
        self.first += 1
        self.start += audio.samples
        self.bytes -= cost_bytes(audio)
        return audio

    def cut(self, index: int, count: int) -> tuple[int, int]:
        """Let so many pieces go from an index on; those behind them move up. Returns their samples and bytes."""
        pieces, before = self._pieces, index - self.first
        pieces.rotate(-before)
        samples = cost = 0
        for _ in range(count):
            audio = pieces.popleft()
            samples += audio.samples
            cost += cost_bytes(audio)
        pieces.rotate(before)
        self.end -= samples
        self.bytes -= cost
        return samples, cost

    def trim(self, position: int) -> None:
        """Let all pieces go that end at or before a position."""
        pieces = self._pieces
        while pieces and self.start + pieces[0].samples <= position:
            self.drop()

    def locate(self, position: int) -> tuple[int, int]:
        """The index of the piece that holds a position, and how many of its samples are before it.

        The position is not before `start`. One at or past `end` belongs to the next piece.
        """
        index, start = self.first, self.start
        for audio in self._pieces:
            if position < start + audio.samples:
                return index, position - start
            index, start = index + 1, start + audio.samples
        return index, position - start

    def since(self, position: int) -> Iterator[Audio]:
        """The pieces that hold audio after a position."""
        start = self.start
        for audio in self._pieces:
            start += audio.samples
            if start > position:
                yield audio

    def between(self, begin: int, end: int) -> tuple[Audio, ...]:
        """The audio from a position to another, without the piece that this one is in the midst of."""
        pieces, start = [], self.start
        for audio in self._pieces:
            if start + audio.samples > end:
                break
            if start >= begin:
                pieces.append(audio)
            elif start + audio.samples > begin:
                pieces.append(audio.after(begin - start))
            start += audio.samples
        return tuple(pieces)

    def invariants(self) -> Iterator[Invariant]:
        """What holds of its pieces and their totals."""
        yield all(piece.samples > 0 for piece in self._pieces), "a piece has an extent"
        yield self.end - self.start == sum(piece.samples for piece in self._pieces), "the pieces' samples add up"
        yield self.bytes == sum(cost_bytes(piece) for piece in self._pieces), "the pieces' bytes add up"

    def state(self) -> JournalState:
        """What is kept, as data."""
        return JournalState(self.first, self.start, tuple(self._pieces))

    def restore(self, state: JournalState) -> None:
        """Keep what another one kept."""
        self.first, self.start, self.end = state.first, state.start, state.start
        for audio in state.pieces:
            self.append(audio)
