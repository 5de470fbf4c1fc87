"""A real session under watch, on a clock that only moves when told."""

from parley.core import events as ev
from parley.core.effects import Effect
from parley.core.limits import SessionLimits
from parley.observe.marks import FACTS, Fact, Mark, MarkKind, Sample, Subject
from parley.observe.session_observer import SessionObserver
from tests.core.builders import Driven, give

SUBJECT = Subject(session_id="sess-test", began_s=1_795_360_740.0, pool="own", transport="websocket")


class Marks:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.all: list[Mark] = []
        self.samples: list[Sample] = []

    def note(self, subject: Subject, mark: Mark) -> None:
        assert subject is SUBJECT
        assert set(mark.facts) <= set(FACTS[mark.kind]), mark
        self.all.append(mark)

    def sample(self, subject: Subject, sample: Sample) -> None:
        self.samples.append(sample)

    @property
    def kinds(self) -> list[MarkKind]:
        return [mark.kind for mark in self.all]

    def of(self, kind: MarkKind) -> list[Mark]:
        return [mark for mark in self.all if mark.kind is kind]

    def facts(self, kind: MarkKind) -> dict[str, Fact]:
        """Those of the only mark of a kind."""
        (mark,) = self.of(kind)
        return dict(mark.facts)


class Watched:
    """The core's session, with everything that it handles shown to an observer, as the runner does."""

    def __init__(self, limits: SessionLimits | None = None, *, is_opted_in: bool = False) -> None:
        self.driven = Driven(limits)
        self.marks = Marks()
        self.observer = SessionObserver(SUBJECT, self.driven.session, [self.marks], began_at=0.0)
        self.observer.began(connected_at=-0.02, authenticated_at=-0.01, method="api-key", now=0.0)
        self.observer.opened(self.driven.opening, 0.0)
        self(ev.ModelNamed("voxtral"))
        if is_opted_in:
            self(ev.ResumeEnabled())

    def __call__(self, *events: ev.Event) -> list[Effect]:
        return self.at(self.driven.now, *events)

    def at(self, now: float, *events: ev.Event) -> list[Effect]:
        """What the session wants after these events."""
        self.driven.now = now
        done: list[Effect] = []
        for event in events:
            effects = give(self.driven.session, event, now)
            self.observer.handled(event, effects, now)
            done += effects
        return done

    def take_delta(self, event: ev.DeltaReceived, now: float) -> None:
        """Text on the common path, as the runner does it."""
        assert self.driven.session.take_delta(event.leg, event.text, now) is True
        if self.observer.awaits_text and not event.text.is_empty:
            self.observer.said(now)
