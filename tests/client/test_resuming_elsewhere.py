"""A client with more than one server to go to, a session that moves, and what is said of where a session stands."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from parley.client import (
    AtBound,
    ConnectionLost,
    Event,
    Expiring,
    Gap,
    GoingAway,
    Lagging,
    Queued,
    SessionFailed,
    SessionResumed,
    TextDelta,
    TurnDone,
    connect,
)
from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.limits import ClientLimits
from parley.client.resumption import ClientMachine
from parley.client.route import Route
from parley.core.content import Audio
from parley.core.errors import ERRORS, Fault, Retry
from tests.support.gateway import GatewayStarter
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

from .model_server import message, refusal

AWAY = SessionFailed("connect-failed", "No.", fault=Fault.SERVER, retry=Retry.NEW_SESSION)
FULL = SessionFailed("at-capacity", "No.", fault=Fault.SERVER, retry=Retry.NEW_SESSION, retry_after_s=4.0)
LOCKED = SessionFailed("unknown-credentials", "No.", fault=Fault.CLIENT, retry=Retry.NEVER)
MOVED = message(
    "error", error="It moves.", code="x", parley={"code": "moved", "fault": "server", "retry": "same-session"}
)


class Client:
    """The machine with several places to go to, at a clock that stands."""

    def __init__(self, places: int = 3, **options: Any) -> None:
        self.machine = ClientMachine(places=places, limits=ClientLimits(), **options)
        self.now = 100.0
        self.first = self.machine.connect(self.now)

    def hear(self, *messages: bytes) -> list[Action]:
        return [action for each in messages for action in self.machine.message_received(each, self.now)]

    def failed(self, failure: SessionFailed = AWAY) -> list[Action]:
        return self.machine.connection_failed(self.now, failure, 1.0)

    def lost(self, code: int = 1006, jitter: float = 1.0) -> list[Action]:
        return self.machine.connection_lost(self.now, code, jitter)

    def next_attempt(self) -> tuple[float, int]:
        """How long until it is made, and where to."""
        deadline = self.machine.next_deadline()
        assert deadline is not None
        waited_s, self.now = deadline - self.now, deadline
        [attempt] = self.machine.timer_fired(self.now, 1.0)
        assert isinstance(attempt, Connect)
        return round(waited_s, 3), attempt.place


def live(places: int = 3, **options: Any) -> Client:
    client = Client(places, **options)
    client.machine.connection_opened(client.now)
    client.hear(
        message("session.created", id="sess", parley={"resume_window_s": 30.0}),
        message("session.updated", id="sess", resume={"token": "t0ken", "window_s": 30.0}),
    )
    return client


def place_of(actions: list[Action]) -> int:
    (place,) = [action.place for action in actions if isinstance(action, Connect)]
    return place


def told(actions: list[Action]) -> list[Event]:
    return [action.event for action in actions if isinstance(action, Emit)]


# ---- where to


def test_a_route_begins_with_the_first_and_tries_each_in_turn() -> None:
    route = Route(3)
    seen = [(route.place, route.failed()) for _ in range(4)]
    assert seen == [(0, False), (1, False), (2, True), (0, False)]
    route.arrived()
    assert (route.place, route.failed()) == (1, False)


def test_the_first_connection_is_tried_once_at_each_server() -> None:
    client = Client()
    assert client.first == [Connect(url_has_resume=False, place=0)]
    assert client.failed() == [Connect(url_has_resume=False, place=1)]
    assert client.failed(FULL) == [Connect(url_has_resume=False, place=2)]
    assert client.failed() == [Fail(AWAY)]
    assert client.machine.has_ended


def test_a_client_that_is_not_let_in_does_not_try_the_others() -> None:
    assert Client().failed(LOCKED) == [Fail(LOCKED)]


def test_a_lost_connection_is_made_again_to_the_same_server_and_then_to_the_others() -> None:
    client = live()
    assert place_of(client.lost()) == 0
    assert client.failed() == []
    assert client.next_attempt() == (0.1, 1)
    assert client.failed() == []
    assert client.next_attempt() == (0.2, 2)


def test_what_a_full_server_asks_for_counts_once_all_were_asked() -> None:
    client = live(places=2)
    client.lost()
    client.failed(FULL)
    assert client.next_attempt() == (0.1, 1)
    client.failed(FULL)
    assert client.next_attempt() == (4.0, 0)


def test_one_server_is_given_the_time_that_it_asks_for() -> None:
    client = live(places=1)
    client.lost()
    client.failed(FULL)
    assert client.next_attempt() == (4.0, 0)


def test_a_server_that_says_within_the_connection_when_to_come_back_is_given_that_time_too() -> None:
    client = live(places=1)
    client.lost()
    client.machine.connection_opened(client.now)
    full = {"code": "at-capacity", "fault": "server", "retry": "new-session", "retry_after_s": 4.0}
    client.hear(message("error", error="Full.", code="x", parley=full))
    client.lost(1013)
    assert client.next_attempt() == (4.0, 0)


def test_a_server_that_does_not_know_the_session_may_not_be_the_only_one() -> None:
    client = live(places=2)
    client.lost()
    for place in (1, None):
        client.machine.connection_opened(client.now)
        actions = client.hear(refusal("unknown-session"))
        if place is None:
            break
        assert actions == []
        client.lost(ERRORS["unknown-session"].ws_close)
        assert client.next_attempt()[1] == place
    assert isinstance(actions[0], Fail)
    assert actions[0].failure.code == "unknown-session"


def test_an_attempt_that_is_not_answered_goes_to_the_next() -> None:
    client = live(places=2)
    client.lost()
    client.machine.connection_opened(client.now)
    client.now += 10.0
    assert client.machine.timer_fired(client.now, 1.0) == [Disconnect()]
    assert client.next_attempt()[1] == 1


# ---- a session that moves


def test_a_session_that_moves_is_taken_up_at_the_next_server_after_a_moment_of_chance() -> None:
    client = live()
    assert client.hear(MOVED) == []
    assert client.lost(1012) == [Emit(ConnectionLost(1012))]
    assert client.next_attempt() == (0.1, 1)
    client.machine.connection_opened(client.now)
    state = {"input_seq": 0, "cursor_ms": 0, "replayed_ms": [[0, 80]], "lost": []}
    [back] = told(client.hear(message("session.resumed", id="sess", outcome="rehydrated", **state)))
    assert isinstance(back, SessionResumed)
    assert (back.outcome, back.replayed_ms, back.attempts) == ("rehydrated", ((0, 80),), 1)


def test_with_one_server_it_is_taken_up_there() -> None:
    client = live(places=1)
    client.hear(MOVED)
    assert place_of(client.lost(1012, jitter=0.0)) == 0


def test_a_server_that_has_moved_it_on_already_is_only_one_that_failed() -> None:
    client = live(places=2)
    client.hear(MOVED)
    client.lost(1012)
    assert client.next_attempt()[1] == 1
    client.machine.connection_opened(client.now)
    client.hear(MOVED)
    client.lost(1012)
    assert client.next_attempt()[1] == 0


# ---- where it stands


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (message("session.queued", position=3, eta_ms=1500), Queued(3, 1.5)),
        (message("session.queued", position=0), Queued(0, None)),
        (message("session.lagging", lag_ms=1500), Lagging(1.5)),
        (message("session.expiring", reason="idle-timeout", in_ms=30000), Expiring("idle-timeout", 30.0)),
        (
            message("session.going_away", reason="shutting-down", deadline_ms=1500, moves=True),
            GoingAway("shutting-down", 1.5, moves=True),
        ),
        (
            message("session.gap", from_ms=1000, to_ms=2000, reason="input-overrun", seq=1),
            Gap((1000, 2000), "input-overrun"),
        ),
    ],
)
def test_what_the_server_says_of_the_session_reaches_the_program(event: bytes, said: Event) -> None:
    assert told(live().hear(event)) == [said]


def test_a_session_that_waits_for_a_model_server_is_not_awaited() -> None:
    client = live()
    client.machine.start_turn()
    client.machine.send_audio(Audio(b"AAAA", 16_000))
    client.machine.end_turn()
    client.hear(message("session.queued", position=1))
    assert client.machine.next_deadline() is None
    client.hear(message("session.queued", position=0))
    assert client.machine.next_deadline() == 160.0


def test_policies_are_declared_with_the_opt_in() -> None:
    client = Client(input_policy=AtBound.TERMINATE, output_policy=AtBound.DROP_OLDEST)
    client.machine.connection_opened(client.now)
    [opt_in, *_] = client.hear(message("session.created", id="sess", parley={"resume_window_s": 30.0}))
    assert isinstance(opt_in, Send)
    declared = {"resume": True, "input_policy": "terminate", "output_policy": "drop-oldest"}
    assert json.loads(opt_in.message)["parley"] == declared


# ---- with real servers


async def test_without_a_url_there_is_nothing_to_connect_to() -> None:
    with pytest.raises(ValueError, match="no URL"):
        async with connect([]):
            pass


async def test_a_server_that_is_away_is_passed_over(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway()
    async with connect(["ws://127.0.0.1:9", gateway.ws_url]) as session:
        assert session.can_resume


async def test_a_turn_goes_on_at_another_server_and_no_word_is_lost(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    store = {"kind": "directory", "directory": str(tmp_path)}
    here = await start_gateway(store=store, drain={"timeout_s": 5.0})
    there = await start_gateway(store=store)
    events: list[Event] = []
    async with connect([here.ws_url, there.ws_url]) as session:
        await session.start_turn()
        await session.send_audio(pcm(3.0))
        while not any(isinstance(event, TextDelta) for event in events):
            events.append(await bounded("words", anext(session)))
        here.begin_stop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.send_audio(pcm(3.0)))
            while not any(isinstance(event, SessionResumed) for event in events):
                events.append(await bounded("the move", anext(session)))
        await session.end_turn()
        while not isinstance(events[-1], TurnDone):
            events.append(await bounded("the end", anext(session)))
    leaves = [event for event in events if isinstance(event, GoingAway)]
    assert [event.moves for event in leaves] == [True]
    assert [event.close_code for event in events if isinstance(event, ConnectionLost)] == [1012]
    assert [event.outcome for event in events if isinstance(event, SessionResumed)] == ["rehydrated"]
    assert events[-1].text == transcript(6 * 16_000).removeprefix(" ")
