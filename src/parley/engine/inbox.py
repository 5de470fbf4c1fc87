"""What a connection has been sent and its turns have not consumed: audio and turn boundaries, in order.

vLLM's protocol lets audio come before the `commit` that starts its turn, and lets a turn be sent whole, ended, and
started afterwards. vLLM itself loses what comes between the end of a turn and its `done`; here it waits its turn.
"""

from collections import deque
from dataclasses import dataclass, field

from parley.core.errors import ParleyError

TURNS_MAX = 8
"""Most turns that wait, the running one included."""


@dataclass(slots=True)
class TurnInput:
    """One turn as sent so far: PCM16 LE pieces not yet taken, whether it may run, whether more audio follows."""

    pieces: deque[bytes] = field(default_factory=deque)
    samples_received: int = 0
    started: bool = False
    ended: bool = False

    def __repr__(self) -> str:
        return f"TurnInput(samples_received={self.samples_received}, started={self.started}, ended={self.ended})"


class Inbox:
    """The turns of a connection, oldest first. The first one runs when it is started; the caller drops it when done."""

    def __init__(self) -> None:
        self._turns: deque[TurnInput] = deque()
        self._buffered_samples = 0

    @property
    def buffered_samples(self) -> int:
        """Audio received and not yet taken, all turns together."""
        return self._buffered_samples

    @property
    def runnable(self) -> TurnInput | None:
        """The turn to run now: the oldest, if it was started."""
        return self._turns[0] if self._turns and self._turns[0].started else None

    def append(self, pcm16: bytes) -> None:
        """Audio for the turn that is being sent; opens one if none is.

        Raises:
            ParleyError: too-many-turns.
        """
        turn = self._sending() or self._open()
        turn.pieces.append(pcm16)
        turn.samples_received += len(pcm16) // 2
        self._buffered_samples += len(pcm16) // 2

    def start(self) -> None:
        """Start the oldest turn that is not started; open one if there is none. Ignored while the turn being sent
        has been started already, as vLLM does.

        Raises:
            ParleyError: too-many-turns.
        """
        waiting = next((turn for turn in self._turns if not turn.started), None)
        if waiting is None and self._sending() is None:
            waiting = self._open()
        if waiting is not None:
            waiting.started = True

    def end(self) -> None:
        """End the turn that is being sent.

        Raises:
            ParleyError: invalid-event, when there is none.
        """
        turn = self._sending()
        if turn is None:
            raise ParleyError("invalid-event", "There is no turn to end: no audio and no commit came since the last.")
        turn.ended = True

    def take(self, turn: TurnInput) -> list[bytes]:
        """All audio that has come for `turn`."""
        pieces = list(turn.pieces)
        turn.pieces.clear()
        self._buffered_samples -= sum(len(piece) for piece in pieces) // 2
        return pieces

    def drop(self, turn: TurnInput) -> None:
        """Forget the oldest turn, which is `turn`: it is done. Audio left in it is discarded."""
        self.take(turn)
        self._turns.popleft()

    def _sending(self) -> TurnInput | None:
        return self._turns[-1] if self._turns and not self._turns[-1].ended else None

    def _open(self) -> TurnInput:
        if len(self._turns) == TURNS_MAX:
            raise ParleyError("too-many-turns", f"{TURNS_MAX} are waiting.")
        turn = TurnInput()
        self._turns.append(turn)
        return turn
