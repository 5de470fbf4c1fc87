"""What the core's tests are written with: audio and text to recognise, errors to compare, a session to drive."""

from collections.abc import Sequence

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.effects import Effect
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.core.usage import Usage

NO_WORDS = Text(b'""')
USAGE = Usage(prompt_tokens=39, completion_tokens=23, total_tokens=62)


def audio(mark: str = "a", samples: int = 1_600) -> Audio:
    """A piece that its mark tells from others; the core never looks into a payload."""
    return Audio(mark.encode(), samples)


class AnError(ParleyError):
    """An error that equals any other with the same code and particulars."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParleyError) and _facts(self) == _facts(other)

    def __hash__(self) -> int:
        return hash(_facts(self))


def _facts(error: ParleyError) -> tuple[str, str, float | None]:
    return error.code, error.detail, error.retry_after_s


class Driven:
    """A session driven by hand at a clock that only moves when told; its invariants are checked after every event."""

    def __init__(self, limits: SessionLimits | None = None, models: Sequence[str] = ("voxtral",)) -> None:
        self.session = Session(limits or SessionLimits(), models)
        self.now = 0.0
        self.opening = self.session.open(self.now)

    def __call__(self, *events: ev.Event) -> list[Effect]:
        """The effects of these events, in order."""
        effects: list[Effect] = []
        for event in events:
            effects += self.session.handle(event, self.now)
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


def ready(limits: SessionLimits | None = None) -> Driven:
    """A session whose leg is open and whose model is named."""
    driven = Driven(limits)
    driven(ev.ModelNamed("voxtral"), ev.LegOpened(1))
    return driven


def running(limits: SessionLimits | None = None, first: Audio | None = None) -> Driven:
    """A session in its first turn, whose first piece of audio has been sent."""
    driven = ready(limits)
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


def done(words: str = " hello", leg: int = 1) -> ev.TurnTranscribed:
    """The model ends the turn."""
    return ev.TurnTranscribed(leg, Text.of(words), USAGE)
