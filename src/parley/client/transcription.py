"""One source of audio through one turn of a session: sending and receiving at once, with what it took."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from parley.audio.pcm import pcm_duration_s, split_pcm
from parley.client.events import (
    Event,
    Gap,
    Interruption,
    Intervals,
    Recovered,
    SessionResumed,
    TextDelta,
    TextRevised,
    TurnDone,
    TurnFailed,
)
from parley.client.failure import SessionFailed
from parley.client.pacing import Clock, FullPace, Pace
from parley.client.session import RealtimeSession
from parley.client.source import AudioSource
from parley.client.transcript import revised
from parley.core.errors import Fault, Retry
from parley.core.usage import Usage

PIECE_MS = 80
"""Audio that is sent at a time: a model's step."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What came of one turn. Times in seconds.

    `time_to_first_partial_s` runs from the first audio sent to the first text, `time_to_final_s` from the last audio
    sent to the end of the turn; `elapsed_s` is all of it. `deltas` carry their places in the audio when the session
    asked for timestamps, and `has_exact_times` says whether these hold. `outcomes` are what became of the connections
    and model servers that were lost on the way.
    """

    text: str = field(repr=False)
    deltas: tuple[TextDelta, ...] = field(repr=False)
    duration_s: float
    elapsed_s: float
    time_to_first_partial_s: float | None
    time_to_final_s: float
    usage: Usage
    has_exact_times: bool
    outcomes: tuple[SessionResumed | Recovered, ...] = ()

    @property
    def lost_ms(self) -> Intervals:
        """Where words may be missing: intervals of the audio in milliseconds."""
        return tuple(sorted({interval for outcome in self.outcomes for interval in outcome.lost_ms}))

    @property
    def real_time_factor(self) -> float:
        """Seconds it took for a second of audio."""
        return self.elapsed_s / self.duration_s if self.duration_s else 0.0


class Observer(Protocol):
    """Somebody who watches a transcription; called often, so it must be quick."""

    def audio_sent(self, duration_s: float) -> None:
        """So much audio has been sent by now."""

    def text_received(self, text: str) -> None:
        """A further piece of the transcript."""

    def text_revised(self, text: str) -> None:
        """The transcript so far is this, from its beginning."""

    def interrupted(self, event: Interruption) -> None:
        """A connection or a model server was lost, or found again, is waited for, or about to go."""


class Unobserved:
    """Nobody watches."""

    def audio_sent(self, duration_s: float) -> None:
        """Do nothing."""

    def text_received(self, text: str) -> None:
        """Do nothing."""

    def text_revised(self, text: str) -> None:
        """Do nothing."""

    def interrupted(self, event: Interruption) -> None:
        """Do nothing."""


async def transcribe(
    session: RealtimeSession,
    source: AudioSource,
    *,
    pace: Pace | None = None,
    observer: Observer | None = None,
    clock: Clock = time.monotonic,
) -> Transcription:
    """Send all of an opened source as one turn and collect its transcript.

    Raises:
        SessionFailed: the turn did not come to its end.
        SourceError, ParleyError: the audio could not be read.
    """
    turn = _Transcribing(session, source, pace or FullPace(), observer or Unobserved(), clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turn.send())
            return await turn.receive()
    except BaseExceptionGroup as group:
        # One of the two failed, and the other was cancelled for it.
        raise group.exceptions[0] from None


class _Transcribing:
    def __init__(
        self, session: RealtimeSession, source: AudioSource, pace: Pace, observer: Observer, clock: Clock
    ) -> None:
        self._session = session
        self._source = source
        self._pace = pace
        self._observer = observer
        self._clock = clock
        self._sent_bytes = 0
        self._began_s = clock()
        self._last_sent_s = self._began_s
        self._first_s: float | None = None
        self._deltas: list[TextDelta] = []
        self._has_gap = False
        self._outcomes: list[SessionResumed | Recovered] = []

    async def send(self) -> None:
        try:
            await self._session.start_turn()
            async for pcm in self._source:
                for piece in split_pcm(pcm, PIECE_MS):
                    await self._send(piece)
            await self._session.end_turn()
        except SessionFailed:
            # The receiver is told too, after whatever the server said before.
            return

    async def _send(self, piece: bytes) -> None:
        if not self._sent_bytes:
            self._began_s = self._clock()
        sent_s = pcm_duration_s(self._sent_bytes + len(piece))
        await self._pace.reach(sent_s)
        await self._session.send_audio(piece)
        self._sent_bytes += len(piece)
        self._last_sent_s = self._clock()
        self._observer.audio_sent(sent_s)

    async def receive(self) -> Transcription:
        async for event in self._session:
            if isinstance(event, TurnDone):
                return self._transcription(event)
            self._take(event)
        # The session says so itself unless somebody else closed it meanwhile.
        raise RuntimeError("The session was closed during its turn.")

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._first_s = self._clock() if self._first_s is None else self._first_s
                self._deltas.append(event)
                self._observer.text_received(text)
            case TextRevised() if self._has_gap:
                # It counts characters that did not come; the end of the turn has all of them.
                pass
            case TextRevised():
                self._deltas = revised(self._deltas, event)
                self._observer.text_revised("".join(delta.text for delta in self._deltas))
            case TurnFailed(_, code, message, fault, retry):
                raise SessionFailed(code, message, fault=Fault(fault), retry=Retry(retry))
            case _ if isinstance(event, Interruption):
                if isinstance(event, SessionResumed | Recovered):
                    self._outcomes.append(event)
                self._has_gap |= isinstance(event, Gap) and event.reason == "slow-client"
                self._observer.interrupted(event)
            case _:
                pass

    def _transcription(self, done: TurnDone) -> Transcription:
        now_s, first_s = self._clock(), self._first_s
        return Transcription(
            text=done.text,
            deltas=tuple(self._deltas),
            duration_s=pcm_duration_s(self._sent_bytes),
            elapsed_s=now_s - self._began_s,
            time_to_first_partial_s=None if first_s is None else first_s - self._began_s,
            time_to_final_s=now_s - self._last_sent_s,
            usage=done.usage,
            has_exact_times=done.has_exact_times,
            outcomes=tuple(self._outcomes),
        )
