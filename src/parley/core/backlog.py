"""Audio that the model has not had: how much of it there may be, and what is dropped where the oldest has to go."""

from parley.core.content import SAMPLE_RATE
from parley.core.journal import cost_bytes
from parley.core.limits import SessionLimits
from parley.core.notices import DropReason, Gap
from parley.core.outlet import Outlet
from parley.core.tally import Tally
from parley.core.turns import Turn, TurnQueue

_MARGIN_SAMPLES = SAMPLE_RATE
"""What is dropped at least, or has to be free before a client that was stopped is read again: a second."""
_MARGIN_BYTES_SHARE = 16


class Backlog:
    """The held audio of `turns` against its bounds, in samples and in bytes."""

    __slots__ = ("_bytes_max", "_outlet", "_samples_max", "_tally", "_turns")

    def __init__(self, limits: SessionLimits, turns: TurnQueue, outlet: Outlet, tally: Tally) -> None:
        self._samples_max = limits.held_samples_max
        self._bytes_max = limits.held_bytes_max
        self._turns = turns
        self._outlet = outlet
        self._tally = tally

    @property
    def is_over(self) -> bool:
        """Whether more is held than may be."""
        return self._turns.held_samples > self._samples_max or self._turns.held_bytes > self._bytes_max

    @property
    def has_margin(self) -> bool:
        """Whether a second of audio more may be held."""
        return self._turns.held_samples <= max(0, self._samples_max - _MARGIN_SAMPLES)

    @property
    def _is_short(self) -> bool:
        bytes_max = self._bytes_max - self._bytes_max // _MARGIN_BYTES_SHARE
        return not self.has_margin or self._turns.held_bytes > bytes_max

    def note(self) -> None:
        """Remember the most that was held."""
        turns, tally = self._turns, self._tally
        if turns.held_samples > tally.held_samples_most:
            tally.held_samples_most = turns.held_samples
        if turns.held_bytes > tally.held_bytes_most:
            tally.held_bytes_most = turns.held_bytes

    def shed(self) -> None:
        """Drop the oldest audio that no model was sent until there is a margin, and tell the client.

        What came last stays, however large it is. So does the last piece of a turn that may have begun on a leg without
        any audio: the leg would have nothing to end it with.
        """
        turns = list(self._turns)
        dropped: list[tuple[int, int]] = []
        for turn in turns:
            is_begun = turn is turns[0] and not turn.fed
            count = self._excess(turn, keeps_last=is_begun or turn is turns[-1])
            if count:
                begin, end = self._turns.skip(turn, count)
                self._tally.dropped_samples += end - begin
                if dropped and dropped[-1][1] == begin:
                    begin = dropped.pop()[0]
                dropped.append((begin, end))
        self._tally.dropped_intervals += len(dropped)
        for interval in dropped:
            self._outlet.notice(Gap(interval, DropReason.INPUT_OVERRUN))

    def _excess(self, turn: Turn, *, keeps_last: bool) -> int:
        """How many of the pieces of a turn that were not sent have to go."""
        if not turn.held_samples or not self._is_short:
            return 0
        pieces = list(turn.journal.since(turn.fed))
        if keeps_last:
            pieces.pop()
        samples = self._turns.held_samples - max(0, self._samples_max - _MARGIN_SAMPLES)
        excess_bytes = self._turns.held_bytes - self._bytes_max + self._bytes_max // _MARGIN_BYTES_SHARE
        count = 0
        for piece in pieces:
            if samples <= 0 and excess_bytes <= 0:
                break
            count += 1
            samples -= piece.samples
            excess_bytes -= cost_bytes(piece)
        return count
