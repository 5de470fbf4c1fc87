"""Timelines of sessions, as the admin API shows them: of those that live, and of those that have ended lately."""

from collections.abc import Callable
from dataclasses import dataclass

from parley.access.action import Target
from parley.core.errors import ParleyError
from parley.observe.marks import Fact, Subject
from parley.observe.places import PlacesView
from parley.observe.timeline import CurvePoint, TimelineView, Totals
from parley.server.endpoints import OWN_POOL
from parley.server.observing import Observing


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineSession:
    """The session of a timeline; `began_s` is Unix time."""

    id: str
    began_s: float
    pool: str
    endpoint: str
    model: str
    tenant: str
    transport: str


@dataclass(frozen=True, slots=True)
class MarkAnswer:
    """Something that happened `at_s` seconds after the session began, when it had received `cursor_s` seconds of
    audio."""

    kind: str
    at_s: float
    cursor_s: float
    facts: dict[str, Fact]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Marks that are not there any more, behind the first so many."""

    after: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineAnswer:
    """A session from its beginning on; `outcome` is empty while it lives."""

    session: TimelineSession
    age_s: float
    ended: bool
    outcome: str
    marks: list[MarkAnswer]
    left_out: LeftOut
    places: PlacesView
    totals: Totals
    curve: list[CurvePoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that has ended, `ago_s` seconds ago; `slowest` is the place that took most time."""

    id: str
    began_s: float
    age_s: float
    ago_s: float
    outcome: str
    tenant: str
    pool: str
    turns: int
    resumptions: dict[str, int]
    slowest: str


@dataclass(frozen=True, slots=True)
class EndedList:
    """Sessions that have ended lately, the last first."""

    sessions: list[EndedSession]


class Timelines:
    """What `observing` knows, as answers. `clock` is the loop's."""

    def __init__(self, observing: Observing, clock: Callable[[], float]) -> None:
        self._observing = observing
        self._clock = clock

    def target_of(self, session_id: str) -> Target | None:
        """Whose a session is, and where, as permissions name it; None when there is no such session."""
        found = self._observing.timeline(session_id)
        return None if found is None else _target(found[0].subject, found[1])

    def timeline(self, session_id: str) -> TimelineAnswer:
        """A session's.

        Raises:
            ParleyError: session-not-found.
        """
        found = self._observing.timeline(session_id)
        if found is None:
            raise ParleyError("session-not-found")
        return answer_of(found[0])

    def ended(self, is_seen: Callable[[Target], bool]) -> EndedList:
        """Those that have ended lately, of those that may be seen."""
        now = self._clock()
        sessions = []
        for one in self._observing.ended():
            view = one.view
            if not is_seen(_target(view.subject, one.tenant)):
                continue
            sessions.append(
                EndedSession(
                    id=view.subject.session_id,
                    began_s=round(view.subject.began_s, 3),
                    age_s=view.age_s,
                    ago_s=round(now - one.ended_at, 3),
                    outcome=view.outcome,
                    tenant=view.subject.tenant,
                    pool=view.subject.pool,
                    turns=view.totals.turns,
                    resumptions=dict(view.totals.resumptions),
                    slowest=view.places.slowest,
                )
            )
        return EndedList(sessions)


def answer_of(view: TimelineView) -> TimelineAnswer:
    """A timeline as it is answered with."""
    subject = view.subject
    return TimelineAnswer(
        session=TimelineSession(
            id=subject.session_id,
            began_s=round(subject.began_s, 3),
            pool=subject.pool,
            endpoint=subject.endpoint,
            model=subject.model,
            tenant=subject.tenant,
            transport=subject.transport,
        ),
        age_s=view.age_s,
        ended=bool(view.outcome),
        outcome=view.outcome,
        marks=[MarkAnswer(mark.kind.value, mark.at_s, mark.cursor_s, dict(mark.facts)) for mark in view.marks],
        left_out=LeftOut(view.left_out_after, view.left_out),
        places=view.places,
        totals=view.totals,
        curve=list(view.curve),
    )


def _target(subject: Subject, tenant: str) -> Target:
    # As `Inventory.target_of` names a session that lives.
    endpoint = "" if subject.pool == OWN_POOL else subject.pool.partition("/")[0]
    return Target(tenant, endpoint, subject.model)
