"""One source of audio through one turn of a session: sending and receiving at once, with what it took."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from parley.audio.pcm import pcm_duration_s, split_pcm
from parley.client.events import TextDelta, TurnDone
from parley.client.failure import SessionFailed
from parley.client.pacing import Clock, FullPace, Pace
from parley.client.session import RealtimeSession
from parley.client.source import AudioSource
from parley.core.usage import Usage

PIECE_MS = 80
"""Audio that is sent at a time: a model's step."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What came of one turn. Times in seconds.

    `time_to_first_partial_s` runs from the first audio sent to the first text, `time_to_final_s` from the last audio
    sent to the end of the turn; `elapsed_s` is all of it. `deltas` carry their places in the audio when the session
    asked for timestamps, and `has_exact_times` says whether these hold.
    """

    text: str = field(repr=False)
    deltas: tuple[TextDelta, ...] = field(repr=False)
    duration_s: float
    elapsed_s: float
    time_to_first_partial_s: float | None
    time_to_final_s: float
    usage: Usage
    has_exact_times: bool

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


class Unobserved:
    """Nobody watches."""

    def audio_sent(self, duration_s: float) -> None:
        """Do nothing."""

    def text_received(self, text: str) -> None:
        """Do nothing."""


async def transcribe(
    session: RealtimeSession,
    source: AudioSource,
    *,
    pace: Pace | None = None,
    observer: Observer | None = None,
    clock: Clock = time.monotonic,
) -> Transcript:
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

    async def receive(self) -> Transcript:
        first_s: float | None = None
        deltas: list[TextDelta] = []
        async for event in self._session:
            if isinstance(event, TextDelta):
                first_s = self._clock() if first_s is None else first_s
                deltas.append(event)
                self._observer.text_received(event.text)
            elif isinstance(event, TurnDone):
                return self._transcript(event, deltas, first_s)
        # The session says so itself unless somebody else closed it meanwhile.
        raise RuntimeError("The session was closed during its turn.")

    def _transcript(self, done: TurnDone, deltas: list[TextDelta], first_s: float | None) -> Transcript:
        now_s = self._clock()
        return Transcript(
            text=done.text,
            deltas=tuple(deltas),
            duration_s=pcm_duration_s(self._sent_bytes),
            elapsed_s=now_s - self._began_s,
            time_to_first_partial_s=None if first_s is None else first_s - self._began_s,
            time_to_final_s=now_s - self._last_sent_s,
            usage=done.usage,
            has_exact_times=done.has_exact_times,
        )
