"""Doubles on both sides of a session: a client's connection, and a model server's."""

import asyncio
import math
from collections.abc import Callable

from parley.core.content import Audio, Text
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.events import TurnTranscribed
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.upstream.leg import LegSink
from tests.support.waiting import Changes

SECRET = "zzgeheimnis"
"""What may stand in no log."""


class BrokenError(Exception):
    """A bug."""


class FakeLeg:
    """A leg that remembers what it was told, and breaks where a test says."""

    def __init__(self, upstream: "FakeUpstream") -> None:
        self.told: list[str] = []
        self.breaks_on = ""
        self._upstream = upstream

    def start_turn(self) -> None:
        self._tell("start")

    def send_audio(self, audio: Audio) -> None:
        self._tell("audio")

    server_name = ""

    def round_trip_s(self) -> float | None:
        return 0.001

    def end_turn(self) -> None:
        self._tell("end")

    def close(self) -> None:
        self._tell("close")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._upstream.changes.notify()
        if what == self.breaks_on:
            raise BrokenError(SECRET)


class FakeUpstream:
    """Opens legs at once, unless it is told to hold them, or to fail."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.legs: list[FakeLeg] = []
        self.opening = 0
        self.cancelled = 0
        self.fails_with: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.sink: LegSink | None = None

    async def open_leg(self, leg_id: int, sink: LegSink, purpose: LegPurpose = LegPurpose.NEW) -> FakeLeg:
        self.opening += 1
        self.changes.notify()
        try:
            await self.may_open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            self.changes.notify()
            raise
        if self.fails_with is not None:
            raise self.fails_with
        self.sink = sink
        self.legs.append(FakeLeg(self))
        return self.legs[-1]

    @property
    def leg(self) -> FakeLeg:
        return self.legs[-1]

    def finish_turn(self, seconds: float = 1.0) -> None:
        """The newest leg's turn, of so much audio, ends: it has had a delta for each frame of 80 ms, and Voxtral's ten
        more."""
        assert self.sink is not None
        for _ in range(math.ceil(seconds / 0.08) + 10):
            self.sink.receive_delta(len(self.legs), Text(b'""'))
        self.sink.receive(TurnTranscribed(len(self.legs), Text(b'""'), Usage()))


class FakeAttachment:
    """A client that remembers what it was told, and may answer at once."""

    def __init__(self, changes: Changes) -> None:
        self.told: list[str] = []
        self.seqs: list[int] = []
        self.notices: list[Notice] = []
        self.tokens: list[str] = []
        self.retentions: list[str] = []
        self.ended: list[ParleyError | None] = []
        self.on_told: Callable[[str], None] = lambda _what: None
        self._changes = changes

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        self._tell("delta", seq)

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        self._tell("done", seq)

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        self._tell(f"error {error.code}", seq)

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        self.notices.append(notice)
        self._tell(type(notice).__name__, seq)

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        self.tokens.append(token)
        self.retentions.append(retention)
        self._tell("token")

    def round_trip_s(self) -> float | None:
        return None

    def pause_input(self) -> None:
        self._tell("pause")

    def resume_input(self) -> None:
        self._tell("resume")

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        self.ended.append(error)
        self._tell("end", seq)

    @property
    def end_code(self) -> str | None:
        """Why it ended; it has to have, once."""
        (error,) = self.ended
        return None if error is None else error.code

    def _tell(self, what: str, seq: int = 0) -> None:
        self.told.append(what)
        if seq:
            self.seqs.append(seq)
        self._changes.notify()
        self.on_told(what)
