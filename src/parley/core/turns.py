"""Turns as the client sends them, and the audio that waits in them for the model.

A client may run ahead: it may send the audio of later turns before the first is transcribed, or a turn's audio before
it starts the turn. Nothing of it is lost; it waits here, bounded.
"""

from collections import deque

from parley.core.content import Audio

_PIECE_OVERHEAD_BYTES = 160
"""What a held piece costs beside its payload: two objects, a bytes header and a slot in the queue (measured)."""


class Turn:
    """One utterance. `started`: a transcript was asked for. `closed`: its audio is complete."""

    __slots__ = ("closed", "held", "received_samples", "started")

    def __init__(self, *, started: bool) -> None:
        self.started = started
        self.closed = False
        self.received_samples = 0
        self.held: deque[Audio] = deque()


class TurnQueue:
    """The turns not yet transcribed, oldest first, and how much audio they hold in all."""

    __slots__ = ("_turns", "held_bytes", "held_samples")

    def __init__(self) -> None:
        self._turns: deque[Turn] = deque()
        self.held_samples = 0
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def head(self) -> Turn | None:
        """The oldest turn: the one that the leg serves once it is started."""
        return self._turns[0] if self._turns else None

    @property
    def open(self) -> Turn | None:
        """The turn that takes the client's audio, if one does."""
        if self._turns and not self._turns[-1].closed:
            return self._turns[-1]
        return None

    def add(self, *, started: bool) -> Turn:
        """A new turn behind the others; it is open."""
        turn = Turn(started=started)
        self._turns.append(turn)
        return turn

    def start(self) -> bool:
        """Start the oldest turn that is not started; False when there is none."""
        for turn in self._turns:
            if not turn.started:
                turn.started = True
                return True
        return False

    def hold(self, turn: Turn, audio: Audio) -> None:
        """Keep audio of a turn until the model can take it."""
        turn.held.append(audio)
        self.held_samples += audio.samples
        self.held_bytes += len(audio.payload) + _PIECE_OVERHEAD_BYTES

    def release(self, turn: Turn) -> Audio:
        """Take the oldest audio held for a turn; IndexError when it holds none."""
        audio = turn.held.popleft()
        self.held_samples -= audio.samples
        self.held_bytes -= len(audio.payload) + _PIECE_OVERHEAD_BYTES
        return audio

    def finish(self) -> None:
        """Drop the head, which is transcribed and holds nothing."""
        turn = self._turns.popleft()
        assert not turn.held, "a transcribed turn holds no audio"

    def clear(self) -> None:
        """Drop everything."""
        self._turns.clear()
        self.held_samples = self.held_bytes = 0

    def check(self) -> None:
        """Assert that the totals are what the turns hold."""
        pieces = [audio for turn in self._turns for audio in turn.held]
        assert self.held_samples == sum(audio.samples for audio in pieces)
        assert self.held_bytes == sum(len(audio.payload) + _PIECE_OVERHEAD_BYTES for audio in pieces)
        assert all(turn.closed for turn in list(self._turns)[:-1]), "only the last turn is open"
