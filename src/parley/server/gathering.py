"""Small pieces of audio, joined to what a model can use at once.

```
client   20 20 20 20 20 20 20 20 20 ms          frames end at 80 ms x k + 2.5 ms of the turn
core, leg         100         80    ...          the piece with which a frame is whole takes the others along
```
A model that takes 80 ms at a time does nothing with a part of them, so what waits here delays nothing. It has not been
counted as taken either: if the connection is lost, its client sends it again.
"""

from collections.abc import Callable

from parley.core.content import Audio
from parley.core.events import ClientBlocked, ClientEvent, ClientUnblocked, OutputAcked
from parley.wire.vllm import join

_PIECES_MAX = 64
"""So that audio in pieces of a sample or two does not cost a hundred times its size."""

_NO_INPUT = frozenset((OutputAcked, ClientBlocked, ClientUnblocked))
"""What says nothing of the audio, and comes often."""


class Gathering:
    """Stands before one connection's way into its session.

    `rest_samples` says how many samples the model lacks for its next frame. Audio goes on with the number of messages
    that it came in; every other event that is input takes along what was gathered before it.
    """

    __slots__ = ("_due_samples", "_forward", "_forward_audio", "_held_samples", "_pieces", "_rest_samples")

    def __init__(
        self,
        rest_samples: Callable[[], int],
        forward: Callable[[ClientEvent], None],
        forward_audio: Callable[[Audio, int], None],
    ) -> None:
        self._rest_samples = rest_samples
        self._forward = forward
        self._forward_audio = forward_audio
        self._pieces: list[Audio] = []
        self._held_samples = 0
        # From the oldest piece held to the end of a frame; 0 while that has to be asked for.
        self._due_samples = 0

    def receive(self, event: ClientEvent) -> None:
        """See `SessionPort.receive`."""
        if type(event) not in _NO_INPUT:
            if self._pieces:
                self._flush()
            self._due_samples = 0
        self._forward(event)

    def receive_audio(self, audio: Audio) -> None:
        """See `SessionPort.receive_audio`."""
        due = self._due_samples
        if not due:
            due = self._due_samples = self._rest_samples()
        held = self._held_samples + audio.samples
        if held < due and len(self._pieces) < _PIECES_MAX:
            self._pieces.append(audio)
            self._held_samples = held
            return
        self._due_samples = 0
        if self._pieces:
            self._pieces.append(audio)
            self._flush()
        else:
            self._forward_audio(audio, 1)

    def _flush(self) -> None:
        pieces, self._pieces, self._held_samples = self._pieces, [], 0
        self._forward_audio(join(pieces) if len(pieces) > 1 else pieces[0], len(pieces))
