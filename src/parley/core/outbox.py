"""Results on their way to the client, joined while it does not read or is not there."""

from bisect import insort
from collections.abc import Iterator
from itertools import pairwise

from parley.core.content import Text
from parley.core.effects import SendDelta, SendNotice
from parley.core.invariants import Invariant
from parley.core.ledger import Output, cost_bytes
from parley.core.notices import DropReason, Gap
from parley.core.tally import Tally

_DELTA_OVERHEAD_BYTES = 96
"""What a delta that is not joined yet costs beside its text, also when that is empty: its objects and a slot."""
_STRETCH_OVERHEAD_BYTES = 256
_STRETCH_DELTAS_MAX = 16
"""Deltas that are joined for good: the least that is dropped at once."""
_GAPS_MAX = 16
"""Gaps in the input that are told apart; of more, the two that are closest to each other become one."""
_UNBOUNDED_SAMPLES = 2**62

type Interval = tuple[int, int]

NOWHERE: Interval = (0, 0)
"""The interval of what is of no audio."""


class _Stretch:
    """Adjacent deltas of one turn, of the audio from `begin` to `end` on the session's cursor."""

    __slots__ = ("begin", "cost_bytes", "count", "end", "item", "texts")

    def __init__(self, item: int, begin: int) -> None:
        self.item = item
        self.begin = self.end = begin
        self.texts: list[Text] = []
        self.count = 0
        self.cost_bytes = _STRETCH_OVERHEAD_BYTES

    @property
    def is_full(self) -> bool:
        return self.count >= _STRETCH_DELTAS_MAX

    @property
    def interval(self) -> Interval:
        return self.begin, self.end

    def add(self, text: Text, end: int) -> None:
        self.texts.append(text)
        self.count += 1
        self.end = max(self.end, end)
        self.cost_bytes += len(text.literal) + _DELTA_OVERHEAD_BYTES

    def join(self) -> None:
        joined = Text.joined(self.texts)
        self.texts = [joined]
        self.cost_bytes = len(joined.literal) + _STRETCH_OVERHEAD_BYTES


class Outbox:
    """Holds results that can't be sent.

    Adjacent deltas of a turn are joined into one: no text is lost, and a slow reader gets fewer, larger messages.
    `held_samples` is how much audio the text is of; intervals are on the session's cursor.
    """

    __slots__ = ("_bytes_max", "_gaps", "_held", "_samples_max", "_tally", "held_bytes", "held_samples")

    def __init__(self, bytes_max: int, samples_max: int = _UNBOUNDED_SAMPLES, tally: Tally | None = None) -> None:
        self.held_bytes = 0
        self.held_samples = 0
        self._bytes_max = bytes_max
        self._samples_max = samples_max
        self._tally = tally or Tally()
        self._held: list[Output | _Stretch] = []
        self._gaps: list[Interval] = []

    @property
    def is_full(self) -> bool:
        """Whether more is held than the bounds allow."""
        return self.held_bytes > self._bytes_max or self.held_samples > self._samples_max

    def hold_delta(self, text: Text, item: int, interval: Interval = NOWHERE) -> None:
        """Keep a piece of a turn's transcript, of this audio."""
        begin, end = interval
        last = self._held[-1] if self._held else None
        if isinstance(last, _Stretch) and last.item == item:
            self._tally.coalesced_deltas += 1
            begin = max(begin, last.end)
        else:
            last = None
        if last is None or last.is_full:
            last = _Stretch(item, begin)
            self._held.append(last)
            self.held_bytes += last.cost_bytes
        before_bytes, before_samples = last.cost_bytes, last.end - last.begin
        if not last.end:
            # Until now it was of no audio.
            last.begin = last.end = begin
        last.add(text, end)
        if last.is_full:
            last.join()
        self.held_bytes += last.cost_bytes - before_bytes
        self.held_samples += last.end - last.begin - before_samples
        self._note()

    def hold(self, output: Output) -> None:
        """Keep any other output, behind the text before it. Audio that was dropped is told before all of it."""
        match output:
            case SendNotice(Gap(interval, DropReason.INPUT_OVERRUN)):
                self._hold_gap(interval)
            case _:
                self._held.append(output)
                self.held_bytes += cost_bytes(output)
        self._note()

    def _note(self) -> None:
        if self.held_bytes > self._tally.output_bytes_most:
            self._tally.output_bytes_most = self.held_bytes

    def _hold_gap(self, interval: Interval) -> None:
        gaps = self._gaps
        insort(gaps, interval)
        self.held_bytes += cost_bytes(_gap(interval, DropReason.INPUT_OVERRUN))
        distances = [behind[0] - gap[1] for gap, behind in pairwise(gaps)]
        if distances and (min(distances) <= 0 or len(gaps) > _GAPS_MAX):
            index = distances.index(min(distances))
            one, other = gaps[index : index + 2]
            gaps[index : index + 2] = [_union(one, other)]
            self.held_bytes -= cost_bytes(_gap(interval, DropReason.INPUT_OVERRUN))

    def shed(self, *, is_told: bool) -> None:
        """Drop the oldest text until half of what the bounds allow is held, or no text is left. `is_told`: a gap takes
        its place. What is no text stays."""
        held, index = self._held, 0
        while self.held_bytes > self._bytes_max // 2 or self.held_samples > self._samples_max // 2:
            while index < len(held) and not isinstance(held[index], _Stretch):
                index += 1
            if index == len(held):
                return
            stretch = held.pop(index)
            assert isinstance(stretch, _Stretch), "it was looked for"
            self.held_bytes -= stretch.cost_bytes
            self.held_samples -= stretch.end - stretch.begin
            self._tally.dropped_deltas += stretch.count
            self._tally.dropped_text_bytes += sum(len(text.literal) - 2 for text in stretch.texts)
            if is_told and stretch.end:
                self._leave_gap(index, stretch.interval)

    def _leave_gap(self, index: int, interval: Interval) -> None:
        held, reason = self._held, DropReason.SLOW_CLIENT
        match held[index - 1] if index else None:
            case SendNotice(Gap(before, DropReason.SLOW_CLIENT)):
                held[index - 1] = _gap(_union(before, interval), reason)
            case _:
                held.insert(index, _gap(interval, reason))
                self.held_bytes += cost_bytes(_gap(interval, reason))

    def waiting(self) -> list[Output]:
        """All that is held, in order, with adjacent text as one."""
        return list(self._joined())

    def _joined(self) -> Iterator[Output]:
        yield from (_gap(interval, DropReason.INPUT_OVERRUN) for interval in self._gaps)
        texts: list[Text] = []
        item = 0
        for held in self._held:
            if texts and not (isinstance(held, _Stretch) and held.item == item):
                yield SendDelta(Text.joined(texts), item=item)
                texts = []
            if isinstance(held, _Stretch):
                item = held.item
                texts += held.texts
            else:
                yield held
        if texts:
            yield SendDelta(Text.joined(texts), item=item)

    def release(self) -> list[Output]:
        """The same, and nothing of it is held any more."""
        waiting = self.waiting()
        self._held, self._gaps, self.held_bytes, self.held_samples = [], [], 0, 0
        return waiting

    def invariants(self) -> Iterator[Invariant]:
        """What holds of what is held, and of its totals."""
        stretches = [held for held in self._held if isinstance(held, _Stretch)]
        others = [held for held in self._held if not isinstance(held, _Stretch)]
        gaps = [_gap(interval, DropReason.INPUT_OVERRUN) for interval in self._gaps]
        costs = [*map(cost_bytes, others), *map(cost_bytes, gaps), *(stretch.cost_bytes for stretch in stretches)]
        extents = [stretch.end - stretch.begin for stretch in stretches]
        yield self.held_bytes == sum(costs), "what is held adds up in bytes"
        yield self.held_samples == sum(extents), "what is held adds up in samples"
        yield min(extents, default=0) >= 0, "intervals have an extent"
        yield self._gaps == sorted(self._gaps), "gaps are in order"
        yield len(self._gaps) <= _GAPS_MAX, "gaps are bounded"


def _gap(interval: Interval, reason: DropReason) -> SendNotice:
    return SendNotice(Gap(interval, reason))


def _union(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])
