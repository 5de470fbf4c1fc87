"""What the core's tests are written with: audio and text to recognise, errors to compare, a session to drive."""

import binascii
import struct
from collections.abc import Sequence
from dataclasses import replace

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    LeaveSession,
    OpenLeg,
    SendAudio,
    SendDelta,
    SendDone,
    SendNotice,
    StoreState,
)
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import InputAcked
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.session import Session
from parley.core.usage import Usage

NO_WORDS = Text(b'""')
USAGE = Usage(prompt_tokens=39, completion_tokens=23, total_tokens=62)
SECOND = 16_000
FRAME = 1_280
CLOSED = ParleyError("upstream-closed", "It closed with code 1006.")
MOVE = ev.DrainStarted(deadline=10.0, move_at=0.0, move_by=9.0)
"""A drain within which sessions may move to another server."""


def audio(mark: str = "a", samples: int = 1_600) -> Audio:
    """A piece that its mark tells from others; the core never looks into a payload."""
    return Audio(mark.encode(), samples)


def pcm(samples: int, begin: int = 0) -> Audio:
    """Real base64 of PCM16: each sample's value is where it stands in the turn, modulo 65536."""
    values = [position % 65_536 for position in range(begin, begin + samples)]
    return Audio(binascii.b2a_base64(struct.pack(f"<{samples}H", *values), newline=False), samples)


def places(audio: Audio) -> list[int]:
    """What `pcm` wrote."""
    return list(struct.unpack(f"<{audio.samples}H", binascii.a2b_base64(audio.payload)))


class AnError(ParleyError):
    """An error that equals any other with the same code and particulars."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParleyError) and _facts(self) == _facts(other)

    def __hash__(self) -> int:
        return hash(_facts(self))


def _facts(error: ParleyError) -> tuple[str, str, float | None]:
    return error.code, error.detail, error.retry_after_s


def give(session: Session, event: ev.Event, now: float) -> list[Effect]:
    """Hand an event over at the entrance for its kind; clients' events come from the current attachment."""
    if isinstance(event, ev.ClientEvent):
        return session.handle_client(event, session.generation, now)
    return session.handle(event, now)


class Driven:
    """A session driven by hand at a clock that only moves when told; its invariants are checked after every event."""

    def __init__(
        self,
        limits: SessionLimits | None = None,
        models: Sequence[str] = ("voxtral",),
        profile: ModelProfile = VOXTRAL,
        *,
        context_s: float = 0.0,
    ) -> None:
        self.session = Session(limits or SessionLimits(), models, profile, jitter=0.0, context_s=context_s)
        self.now = 0.0
        self.opening = self.session.open(self.now)

    def __call__(self, *events: ev.Event) -> list[Effect]:
        """The effects of these events, in order."""
        effects: list[Effect] = []
        for event in events:
            effects += give(self.session, event, self.now)
            self.session.check()
        return effects

    def at(self, now: float, *events: ev.Event) -> list[Effect]:
        """The same at a later time."""
        self.now = now
        return self(*events)

    def fire(self) -> list[Effect]:
        """The effects of the timer, fired when the session wants it."""
        deadline = self.session.next_deadline()
        assert deadline is not None, "the session waits for nothing"
        return self.at(deadline, ev.TimerFired())


def ready(limits: SessionLimits | None = None, profile: ModelProfile = VOXTRAL) -> Driven:
    """A session whose leg is open and whose model is named."""
    driven = Driven(limits, profile=profile)
    driven(ev.ModelNamed("voxtral"), ev.LegOpened(1))
    return driven


def opted_in(limits: SessionLimits | None = None, profile: ModelProfile = VOXTRAL) -> Driven:
    """The same with a client that opted in to the session's contract."""
    driven = ready(limits, profile)
    driven(ev.ResumeEnabled())
    return driven


def running(
    limits: SessionLimits | None = None,
    first: Audio | None = None,
    *,
    is_opted_in: bool = False,
    profile: ModelProfile = VOXTRAL,
) -> Driven:
    """A session in its first turn, whose first piece of audio has been sent."""
    driven = opted_in(limits, profile) if is_opted_in else ready(limits, profile)
    driven(ev.TurnStarted(), ev.AudioReceived(first or audio("first")))
    return driven


def flushing(limits: SessionLimits | None = None) -> Driven:
    """A session that waits for the end of its first turn."""
    driven = running(limits)
    driven(ev.TurnEnded())
    return driven


def heard(*pieces: Audio) -> list[ev.Event]:
    """The client sends these pieces."""
    return [ev.AudioReceived(piece) for piece in pieces]


def turn(*pieces: Audio) -> list[ev.Event]:
    """The client sends a whole turn."""
    return [ev.TurnStarted(), *heard(*pieces), ev.TurnEnded()]


def deltas(count: int, leg: int = 1) -> list[ev.Event]:
    """As many deltas without text: the model's clock moves on."""
    return [ev.DeltaReceived(leg, NO_WORDS) for _ in range(count)]


def transcribed(words: str = " hello", leg: int = 1) -> ev.TurnTranscribed:
    """The model ends the turn."""
    return ev.TurnTranscribed(leg, Text.of(words), USAGE)


def done(words: str = " hello", leg: int = 1) -> list[ev.Event]:
    """The model comes to the end of a turn of up to 5 s without a further word, and ends it."""
    return [*deltas(64, leg), transcribed(words, leg)]


def says(words: str, leg: int = 1) -> ev.DeltaReceived:
    """The model says something."""
    return ev.DeltaReceived(leg, Text.of(words))


def fails(leg: int = 1, error: ParleyError = CLOSED) -> ev.LegFailed:
    """The leg is lost."""
    return ev.LegFailed(leg, error)


def legs(effects: list[Effect]) -> list[Effect]:
    """What becomes of legs."""
    return [effect for effect in effects if isinstance(effect, OpenLeg | CloseLeg)]


def told(effects: list[Effect]) -> list[Effect]:
    """What the client hears, but for what it is told of its own input."""
    return [
        effect
        for effect in effects
        if isinstance(effect, SendDelta | SendDone | SendNotice | EndSession)
        and not (isinstance(effect, SendNotice) and isinstance(effect.notice, InputAcked))
    ]


def sent(effects: list[Effect], leg: int) -> list[int]:
    """The samples that a leg was sent, by their place in the turn."""
    pieces = [effect.audio for effect in effects if isinstance(effect, SendAudio) and effect.leg == leg]
    return [place for piece in pieces for place in places(piece)]


def under_way() -> Driven:
    """A session in the midst of a turn, at its last moment to go."""
    driven = running(is_opted_in=True, first=pcm(16_000))
    driven(*deltas(3), says(" hello"))
    driven(MOVE)
    assert driven.at(9.0, ev.TimerFired())[-1] == StoreState()
    return driven


def moved(driven: Driven, **changes: object) -> Driven:
    """The same session at another server."""
    state = replace(driven.session.state(driven.now), **changes)  # type: ignore[arg-type]
    assert driven(ev.StateStored()) == [LeaveSession()]
    other = Driven()
    other.session = Session.restored(state, SessionLimits(), ("voxtral",), VOXTRAL, other.now, jitter=0.0)
    other.opening = other.session.open(other.now)
    return other
