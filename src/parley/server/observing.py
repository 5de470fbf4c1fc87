"""Watches the sessions of a node: an observer for each, a timeline for each, and who else listens.

```
runner ─► SessionObserver ─► Observing ─► Timeline, and the record at the end
                                 └──────► metrics, traces
sampler, once a second ──► runner ─► Sample ─┘
```
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from parley.core.session import Session
from parley.ingress.attachment import Provenance
from parley.observe.log import RECORD_LOGGER
from parley.observe.loop_lag import LoopLag
from parley.observe.marks import Mark, MarkKind, MarkSink, Sample, Subject
from parley.observe.session_observer import SessionObserver, TraceHeaders
from parley.observe.timeline import Timeline, TimelineView
from parley.server.runner import SessionRunner
from parley.server.session_state import SessionState, state_of

SAMPLE_INTERVAL_S = 1.0
ENDED_MAX = 256
ENDED_KEPT_S = 3_600.0

_LOOP_WINDOW_S = 10.0
_LOOP_SHARE = 0.9
_IDLE_EVERY = 10
"""A session in which nothing moves is looked at so much less often."""
_PARTS = 20
"""In which all sessions are looked at, spread over the interval, so that nobody waits for it."""
_SESSIONS_PER_TURN = 10
"""Of the event loop."""

_record_log = logging.getLogger(RECORD_LOGGER)


class _Watched:
    """A session that lives. `runner` is None until it has one."""

    __slots__ = ("cursor", "is_busy", "observer", "runner", "skipped", "state", "timeline")

    def __init__(self, observer: SessionObserver, timeline: Timeline) -> None:
        self.observer = observer
        self.timeline = timeline
        self.runner: SessionRunner | None = None
        self.cursor = -1
        self.is_busy = True
        self.skipped = 0
        self.state: SessionState = "live"


@dataclass(frozen=True, slots=True)
class EndedTimeline:
    """The timeline of a session that is over, when it ended (the loop's clock), and the tenant that it was of."""

    view: TimelineView
    ended_at: float
    tenant: str


class Observing:
    """All that is watched on a node. `listeners` hear every mark and every sample; `trace_headers` is theirs who trace.

    `clock` is the loop's. What was kept of sessions that ended is bounded by `ENDED_MAX` and `ENDED_KEPT_S`.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        loop_lag: LoopLag,
        listeners: Sequence[MarkSink] = (),
        trace_headers: TraceHeaders | None = None,
    ) -> None:
        self._trace_headers = trace_headers
        self._clock = clock
        self._loop_lag = loop_lag
        self._listeners = tuple(listeners)
        self._sinks: tuple[MarkSink, ...] = (self, *self._listeners)
        self._live: dict[str, _Watched] = {}
        self._tenants: dict[str, str] = {}
        self._ended: OrderedDict[str, EndedTimeline] = OrderedDict()
        self._late_s = 0.0

    # ---- who is watched

    def watch(
        self, session: Session, subject: Subject, provenance: Provenance | None, *, tenant: str
    ) -> SessionObserver:
        """The observer of a session that begins now. `tenant` is whose it is, for permissions; it is not shown."""
        now = self._clock()
        observer = SessionObserver(subject, session, self._sinks, began_at=now, trace_headers=self._trace_headers)
        self._live[subject.session_id] = _Watched(observer, Timeline(subject))
        self._tenants[subject.session_id] = tenant
        if provenance is None:
            observer.began(connected_at=None, authenticated_at=None, method="", now=now)
        else:
            observer.began(
                connected_at=provenance.connected_at,
                authenticated_at=provenance.authenticated_at,
                method=provenance.method,
                now=now,
            )
        return observer

    def follow(self, runner: SessionRunner) -> None:
        """The session has this runner."""
        watched = self._live.get(runner.name.session_id)
        if watched is not None:
            watched.runner = runner

    # ---- marks, from the observers

    def note(self, subject: Subject, mark: Mark) -> None:
        """See `MarkSink`."""
        watched = self._live.get(subject.session_id)
        if watched is None:
            return
        watched.timeline.note(mark)
        if mark.kind in (MarkKind.ENDED, MarkKind.MOVED):
            self._end(subject.session_id, watched.timeline)

    def sample(self, subject: Subject, sample: Sample) -> None:
        """See `MarkSink`: it comes from here."""

    def _end(self, session_id: str, timeline: Timeline) -> None:
        del self._live[session_id]
        tenant = self._tenants.pop(session_id)
        if timeline.outcome == "abandoned":
            return
        now = self._clock()
        self._ended.pop(session_id, None)
        self._ended[session_id] = EndedTimeline(timeline.view(), now, tenant)
        while len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
        _record_log.info("session record", extra=record_of(timeline.view()))

    # ---- samples

    async def run(self) -> None:
        """Look at sessions until cancelled."""
        while True:
            for part in range(_PARTS):
                await asyncio.sleep(SAMPLE_INTERVAL_S / _PARTS)
                for number, _ in enumerate(self.looking(part, _PARTS)):
                    if number % _SESSIONS_PER_TURN == _SESSIONS_PER_TURN - 1:
                        await asyncio.sleep(0)

    def look(self) -> None:
        """Look at every session once."""
        for _ in self.looking():
            pass

    def looking(self, part: int = 0, parts: int = 1) -> Iterator[None]:
        """Look at one session after another, of so many parts of all, as far as each needs it."""
        if part == 0:
            self._late_s = self._loop_lag.quantile_s(_LOOP_SHARE, _LOOP_WINDOW_S)
            self._forget_old()
        for watched in list(self._live.values())[part::parts]:
            self._look(watched, self._late_s)
            yield

    def _look(self, watched: _Watched, late_s: float) -> None:
        runner = watched.runner
        if runner is None or runner.ended:
            return
        is_still = not watched.is_busy and runner.cursor == watched.cursor
        if is_still:
            # Tens of thousands of idle sessions are not to be measured, pinged or remembered for it.
            watched.skipped += 1
            if watched.skipped >= _IDLE_EVERY:
                watched.skipped = 0
                watched.state = state_of(runner.survey())
            return
        watched.skipped = 0
        watched.cursor = runner.cursor
        sample = self._sample_of(runner, watched.observer)
        watched.timeline.sample(sample, late_s)
        for listener in self._listeners:
            listener.sample(watched.observer.subject, sample)

    def _sample_of(self, runner: SessionRunner, observer: SessionObserver) -> Sample:
        now = self._clock()
        survey = runner.survey()
        observer.looked(survey, now)
        watched = self._live[runner.name.session_id]
        watched.is_busy = survey.turns > 0 or survey.is_queued
        watched.state = state_of(survey)
        legs = runner.legs
        return Sample(
            at_s=observer.age_s(now),
            state=watched.state,
            lag_s=survey.lag_s,
            model_delay_s=max((runner.waits_s(leg) for leg in legs), default=0.0),
            held_s=survey.held_s,
            buffer_bytes=survey.held_bytes,
            received_s=survey.received_s,
            uncommitted_s=survey.uncommitted_s,
            client_rtt_s=runner.client_rtt_s(),
            upstream_rtt_s=_most([leg.round_trip_s() for leg in legs.values()]),
            input_late_s=observer.input_late_s(now),
            text_waits_bytes=survey.unsent_bytes,
            has_leg=bool(legs),
        )

    def _forget_old(self) -> None:
        since = self._clock() - ENDED_KEPT_S
        while self._ended and next(iter(self._ended.values())).ended_at < since:
            self._ended.popitem(last=False)

    def states(self) -> Mapping[str, int]:
        """How many sessions are in each state, as far as has been looked."""
        return Counter(watched.state for watched in self._live.values())

    # ---- who asks

    def timeline(self, session_id: str) -> tuple[TimelineView, str] | None:
        """The timeline of a session that lives or has ended lately, and the tenant that it is of."""
        watched = self._live.get(session_id)
        if watched is not None:
            view = watched.timeline.view(watched.observer.age_s(self._clock()))
            return view, self._tenants[session_id]
        ended = self._ended.get(session_id)
        return None if ended is None else (ended.view, ended.tenant)

    def ended(self) -> Iterator[EndedTimeline]:
        """Those that have ended lately, the last first."""
        return reversed(self._ended.values())


def _most(times: list[float | None]) -> float | None:
    return max((time_s for time_s in times if time_s is not None), default=None)


def record_of(view: TimelineView) -> dict[str, object]:
    """A session in one flat record, without content: for the log, at its end."""
    subject, totals = view.subject, view.totals
    named = {
        "session": subject.session_id,
        "began_s": round(subject.began_s, 3),
        "age_s": view.age_s,
        "outcome": view.outcome,
        "pool": subject.pool,
        "model": subject.model,
        "tenant": subject.tenant,
        "transport": subject.transport,
    }
    counted = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(totals).items()
        if name not in ("resumptions", "recoveries")
    }
    outcomes = {f"resumptions_{outcome}": count for outcome, count in totals.resumptions.items()}
    outcomes |= {f"recoveries_{outcome}": count for outcome, count in totals.recoveries.items()}
    return {**named, **counted, **outcomes, "slowest": view.places.slowest}
