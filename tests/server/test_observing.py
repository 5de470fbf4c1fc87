"""All sessions of a node under watch: who is listened to, what is kept of those that ended, and for how long."""

from typing import cast

import pytest

from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.ingress.attachment import Provenance, SessionName
from parley.observe.loop_lag import LoopLag
from parley.observe.marks import Mark, MarkKind, Sample, Subject
from parley.observe.session_observer import SessionObserver
from parley.server.observing import ENDED_KEPT_S, ENDED_MAX, SAMPLE_INTERVAL_S, Observing
from parley.server.runner import SessionRunner


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    def __init__(self) -> None:
        self.marks: list[MarkKind] = []
        self.samples: list[Sample] = []

    def note(self, subject: Subject, mark: Mark) -> None:
        self.marks.append(mark.kind)

    def sample(self, subject: Subject, sample: Sample) -> None:
        self.samples.append(sample)


class Runner:
    """As much of a runner as is looked at."""

    def __init__(self, name: str, session: Session, clock: Clock) -> None:
        self.name = SessionName(name, 0)
        self.session = session
        self.clock = clock
        self.cursor = 0
        self.looks = 0
        self.legs: dict[int, object] = {}
        self.ended = False

    def survey(self) -> object:
        self.looks += 1
        return self.session.survey(self.clock())

    def waits_s(self, leg: int) -> float:
        return 0.0

    def client_rtt_s(self) -> float | None:
        return 0.02


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.listener = Listener()
        self.observing = Observing(self.clock, LoopLag(self.clock), [self.listener])

    def begin(self, name: str = "sess-1", provenance: Provenance | None = None) -> tuple[SessionObserver, Runner]:
        session = Session(SessionLimits())
        session.open(self.clock())
        subject = Subject(session_id=name, began_s=1.0, pool="own")
        observer = self.observing.watch(session, subject, provenance, tenant="acme")
        runner = Runner(name, session, self.clock)
        self.observing.follow(cast(SessionRunner, runner))
        return observer, runner

    def end(self, observer: SessionObserver, outcome: str = "client-closed") -> None:
        observer.ended(outcome, "", self.clock())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_listeners_hear_all_marks_of_a_session(scene: Scene) -> None:
    observer, _ = scene.begin(provenance=Provenance(connected_at=99.0, authenticated_at=99.5))
    scene.end(observer)
    assert scene.listener.marks == [
        MarkKind.CONNECTED,
        MarkKind.AUTHENTICATED,
        MarkKind.BEGAN,
        MarkKind.ENDED,
    ]


def test_a_session_that_came_from_another_node_was_taken_over(scene: Scene) -> None:
    scene.begin(provenance=None)
    found = scene.observing.timeline("sess-1")
    assert found is not None
    assert [(mark.kind, dict(mark.facts)) for mark in found[0].marks] == [(MarkKind.BEGAN, {"taken_over": True})]


def test_a_timeline_is_found_while_its_session_lives_and_afterwards(scene: Scene) -> None:
    observer, _ = scene.begin()
    scene.clock.now += 5
    live = scene.observing.timeline("sess-1")
    scene.end(observer)
    scene.clock.now += 5
    ended = scene.observing.timeline("sess-1")
    assert live is not None
    assert ended is not None
    assert (live[0].age_s, live[0].outcome, live[1]) == (5.0, "", "acme")
    assert (ended[0].age_s, ended[0].outcome, ended[1]) == (5.0, "client-closed", "acme")
    assert scene.observing.timeline("sess-2") is None


def test_of_those_that_ended_the_last_are_kept(scene: Scene) -> None:
    for number in range(ENDED_MAX + 3):
        scene.end(scene.begin(f"sess-{number}")[0])
    kept = [one.view.subject.session_id for one in scene.observing.ended()]
    assert len(kept) == ENDED_MAX
    assert kept[0] == f"sess-{ENDED_MAX + 2}"
    assert scene.observing.timeline("sess-2") is None


def test_a_session_that_was_begun_in_vain_leaves_nothing(scene: Scene) -> None:
    scene.end(scene.begin()[0], "abandoned")
    assert scene.observing.timeline("sess-1") is None
    assert not list(scene.observing.ended())


def test_the_end_leaves_one_record_without_content(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="parley.record")
    scene.end(scene.begin()[0])
    (record,) = [one for one in caplog.records if one.name == "parley.record"]
    assert (vars(record)["session"], vars(record)["outcome"], vars(record)["turns"]) == ("sess-1", "client-closed", 0)


def test_a_session_that_moves_on_is_looked_at_each_time(scene: Scene) -> None:
    _, runner = scene.begin()
    for number in range(4):
        runner.cursor = number
        scene.observing.look()
    assert runner.looks == len(scene.listener.samples) == 4


def test_a_session_in_which_nothing_happens_is_looked_at_rarely(scene: Scene) -> None:
    _, runner = scene.begin()
    for _ in range(43):
        scene.observing.look()
    # For its state alone: nothing is measured, pinged or remembered.
    assert 2 <= runner.looks <= 5
    assert len(scene.listener.samples) == 1


def test_what_ended_long_ago_is_forgotten(scene: Scene) -> None:
    scene.end(scene.begin()[0])
    scene.clock.now += ENDED_KEPT_S + SAMPLE_INTERVAL_S
    scene.observing.look()
    assert scene.observing.timeline("sess-1") is None


def test_a_session_that_is_not_watched_any_more_changes_nothing(scene: Scene) -> None:
    observer, _ = scene.begin()
    scene.end(observer)
    scene.observing.note(observer.subject, Mark(MarkKind.BEGAN, 0.0, 0.0))
    assert len(list(scene.observing.ended())) == 1
