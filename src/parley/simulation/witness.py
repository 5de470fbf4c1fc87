"""Sees what audio models are sent: in each generation one stretch of what one user said, whole and in order."""

from parley.simulation.invariants import require
from parley.simulation.speech import Speech

_NEEDLE_SAMPLES = 320
"""So much audio is found in one place only: its noise is different everywhere."""


class Witness:
    """Knows every user's tape. It keeps the beginning of a generation until that is long enough to be found."""

    def __init__(self, tapes: list[Speech]) -> None:
        self._tapes = tapes
        self._whole = [tape.pcm(0, tape.samples) for tape in tapes]
        self._generation: dict[str, int] = {}
        self._beginning: dict[str, bytes] = {}
        self._place: dict[str, tuple[int, int]] = {}

    def hear(self, connection: str, generation: int, pcm: bytes) -> None:
        """A model was sent this on a connection, in this generation.

        Raises:
            InvariantBroken: it does not follow what was sent before, or nobody ever said it.
        """
        if self._generation.get(connection) != generation:
            self._generation[connection] = generation
            self._beginning[connection] = b""
            self._place.pop(connection, None)
        place = self._place.get(connection)
        if place is None:
            self._beginning[connection] += pcm
            self._look(connection)
            return
        tape, start = place
        end = start + len(pcm)
        require(self._whole[tape][start:end] == pcm, "{} was sent audio that does not follow", connection)
        self._place[connection] = tape, end

    def _look(self, connection: str) -> None:
        beginning = self._beginning[connection]
        if len(beginning) < 2 * _NEEDLE_SAMPLES:
            return
        for tape, whole in enumerate(self._whole):
            start = whole.find(beginning)
            if start >= 0:
                self._place[connection] = tape, start + len(beginning)
                self._beginning[connection] = b""
                return
        require(False, "{} was sent audio that nobody said", connection)
