"""A short turn of speech through the whole of a model server, which shows more than `/health`: that it works.

```
open a leg ─► start ─► speech ─► end ─► a delta for each frame ─► done
   │                                │        │                      └ covers less than the speech: truncated
   └ no greeting                    │        └ none has a word, though earlier ones had: mute
                                    └ no delta, or no done, in time: stalled
```
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from parley.core import events as ev
from parley.core.content import SAMPLE_RATE, Audio, Text
from parley.core.errors import ParleyError
from parley.core.profile import ModelProfile
from parley.upstream.leg import LegConnection, LegSink

PROBE_LEG = 0
"""The id of a probe's leg; those of sessions begin at 1."""

_SAME_SHARE = 0.02
"""By how much the shares of two turns may differ that are taken to be the same."""

OpenProbeLeg = Callable[[LegSink], Awaitable[LegConnection]]


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said in a probe turn: about a second of speech, in pieces as a client would send them."""

    pieces: Sequence[Audio] = field(repr=False)

    @property
    def samples(self) -> int:
        """Its length."""
        return sum(piece.samples for piece in self.pieces)


class ProbeTurns:
    """Probe turns on one server, one at a time. What earlier ones showed of it is remembered: whether it answers the
    speech with words, and by how much its deltas fall short of it where it does not count as its model is known to.
    """

    def __init__(self, speech: Speech, *, timeout_s: float) -> None:
        self._speech = speech
        self._timeout_s = timeout_s
        self._has_spoken = False
        self._was_covered = False
        self._short_share: float | None = None

    async def take(self, open_leg: OpenProbeLeg, profile: ModelProfile) -> None:
        """Take one, and close its leg; `profile` says what the model's deltas mean.

        Raises:
            ParleyError: what is the matter: what opening the leg raises, what the leg failed with, or upstream-stalled,
                upstream-truncated or upstream-mute, with what was missing as its detail.
        """
        turn = _Turn()
        leg: LegConnection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                leg = await open_leg(turn)
                leg.start_turn()
                for piece in self._speech.pieces:
                    leg.send_audio(piece)
                leg.end_turn()
                await turn.ended.wait()
        except TimeoutError:
            raise self._late(turn, profile, is_open=leg is not None) from None
        finally:
            if leg is not None:
                leg.close()
        if turn.failure is not None:
            raise turn.failure
        self._judge(turn, profile)

    def _late(self, turn: "_Turn", profile: ModelProfile, *, is_open: bool) -> ParleyError:
        within = f"within {self._timeout_s:g} s"
        if not is_open:
            return ParleyError("upstream-unavailable", f"A probe turn found no stream {within}.")
        if profile.has_clock and not turn.deltas:
            return ParleyError("upstream-stalled", f"A probe turn had no delta {within}.")
        return ParleyError("upstream-stalled", f"A probe turn had {turn.deltas} deltas and no end {within}.")

    def _judge(self, turn: "_Turn", profile: ModelProfile) -> None:
        if profile.has_clock:
            self._judge_coverage(turn, profile)
        if turn.has_words:
            self._has_spoken = True
        elif self._has_spoken:
            raise ParleyError("upstream-mute", "A probe turn had no word; earlier ones had.")

    def _judge_coverage(self, turn: "_Turn", profile: ModelProfile) -> None:
        """See `core.coverage`, of whose rule for sessions this is the one for a server."""
        samples, covered = self._speech.samples, turn.deltas * profile.frame_samples
        if not turn.deltas:
            raise ParleyError("upstream-stalled", "A probe turn had an end and no delta.")
        if covered >= samples + profile.late_frames * profile.frame_samples:
            self._was_covered = True
            return
        share, before = covered / samples, self._short_share
        self._short_share = share
        # One that falls short by the same from the first turn on counts otherwise: an accident would not repeat itself.
        if self._was_covered or before is None or abs(share - before) >= _SAME_SHARE:
            spoken = f"{covered / SAMPLE_RATE:.2f} s of {samples / SAMPLE_RATE:.2f} s"
            raise ParleyError("upstream-truncated", f"The deltas of a probe turn cover {spoken}.")


class _Turn:
    """The sink of a probe's leg: notices what came, and forgets what was said."""

    def __init__(self) -> None:
        self.deltas = 0
        self.has_words = False
        self.failure: ParleyError | None = None
        self.ended = asyncio.Event()

    def receive(self, event: ev.Event) -> None:
        """See `LegSink.receive`."""
        if isinstance(event, ev.DeltaReceived):
            self.receive_delta(event.leg, event.text)
        elif isinstance(event, ev.TurnTranscribed):
            self.has_words = self.has_words or not event.text.is_empty
            self.ended.set()
        elif isinstance(event, ev.LegFailed) and not self.ended.is_set():
            self.failure = event.error
            self.ended.set()

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """See `LegSink.receive_delta`."""
        self.deltas += 1
        self.has_words = self.has_words or not text.is_empty

    def delay_s(self, leg_id: int) -> float:
        """See `LegSink.delay_s`: a probe is no measure of it."""
        return 0.0

    def trace_headers(self, leg_id: int) -> Mapping[str, str]:
        """See `LegSink.trace_headers`: it is part of none."""
        return {}
