"""The gate: how many connections begin in a turn of the loop and in a second, who waits, who comes first."""

import asyncio
from functools import partial

import pytest

from parley.core.errors import ParleyError
from parley.ingress.connect_gate import ConnectGate, Entry, GateLimits, Passage
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.http import get
from tests.support.raw import UPGRADE, request
from tests.support.waiting import Changes, bounded

PER_TURN = 8


class Gate:
    """A gate with a clock that stands still unless a test moves it, and what became of those who came."""

    def __init__(self, limits: GateLimits | None = None) -> None:
        self.now = 0.0
        self.worked_s = 0.0
        self.work_takes_s = 0.0
        self.changes = Changes()
        self.gate = ConnectGate(limits or GateLimits(), lambda: self.now, stopwatch=lambda: self.worked_s)
        self.begun: list[str] = []
        self.refused: dict[str, ParleyError] = {}

    def enter(self, name: str, passage: Passage = Passage.NEW) -> Entry:
        return self.gate.enter(passage, partial(self._begin, name), partial(self.refused.__setitem__, name))

    def _begin(self, name: str) -> None:
        self.worked_s += self.work_takes_s
        self.begun.append(name)
        self.changes.notify()

    def crowd(self, count: int, passage: Passage = Passage.NEW) -> list[Entry]:
        return [self.enter(f"{passage.name.lower()} {number}", passage) for number in range(count)]

    def later(self, seconds: float) -> None:
        """So much later, the timer for the next token fires."""
        self.now += seconds
        self.gate._token_came()


def limited(**values: float) -> Gate:
    """One connection in a second after a burst of two."""
    usual = {"connects_per_s": 1, "burst": 2, "waiting_max": 3, "wait_max_s": 60.0}
    return Gate(GateLimits(**{**usual, **values}))  # type: ignore[arg-type]


async def turns(gate: Gate, count: int) -> None:
    await gate.changes.until(f"{count} have begun", lambda: len(gate.begun) == count)


# ---- in one turn of the loop


async def test_a_connection_that_comes_alone_begins_at_once() -> None:
    gate = Gate()
    entry = gate.enter("one")
    assert (gate.begun, entry.is_waiting) == (["one"], False)


async def test_no_more_begin_in_a_turn_that_has_been_busy_with_them_for_milliseconds() -> None:
    gate = Gate()
    gate.work_takes_s = 0.002
    gate.crowd(PER_TURN)
    assert len(gate.begun) == 2
    await turns(gate, PER_TURN)


async def test_only_a_few_begin_in_one_turn_of_the_loop_and_the_others_in_the_next_ones() -> None:
    gate = Gate()
    entries = gate.crowd(3 * PER_TURN)
    assert len(gate.begun) == PER_TURN
    assert [entry.is_waiting for entry in entries] == [False] * PER_TURN + [True] * 2 * PER_TURN
    counts: list[int] = []

    def look() -> None:
        counts.append(len(gate.begun))
        if len(gate.begun) < 3 * PER_TURN:
            asyncio.get_running_loop().call_soon(look)

    look()
    await turns(gate, 3 * PER_TURN)
    assert counts[:2] == [PER_TURN, 2 * PER_TURN]
    assert gate.begun == [f"new {number}" for number in range(3 * PER_TURN)]


async def test_who_comes_back_and_who_costs_nothing_begin_before_the_others() -> None:
    gate = Gate()
    gate.crowd(PER_TURN + 1)
    gate.crowd(1, Passage.RETURN)
    gate.crowd(1, Passage.FREE)
    await turns(gate, PER_TURN + 3)
    assert gate.begun[PER_TURN:] == ["free 0", "return 0", "new 8"]


async def test_one_that_has_left_does_not_begin() -> None:
    gate = Gate()
    entries = gate.crowd(PER_TURN + 2)
    gate.gate.leave(entries[PER_TURN])
    await turns(gate, PER_TURN + 1)
    assert "new 8" not in gate.begun
    assert not entries[PER_TURN].is_waiting


# ---- in a second


async def test_over_the_rate_connections_wait_for_a_token_each() -> None:
    gate = limited()
    gate.crowd(4)
    assert (gate.begun, gate.gate.waiting) == (["new 0", "new 1"], 2)
    for count in (3, 4):
        gate.later(1.0)
        assert len(gate.begun) == count
    assert gate.gate._token is None


async def test_a_timer_that_fires_early_is_set_anew() -> None:
    gate = limited()
    entries = gate.crowd(3)
    gate.later(0.5)
    assert len(gate.begun) == 2
    gate.gate.leave(entries[2])
    assert gate.gate._token is None


async def test_a_token_comes_by_itself() -> None:
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    gate = ConnectGate(GateLimits(connects_per_s=100, burst=1), loop.time)
    gate.enter(Passage.NEW, lambda: None, lambda _: None)
    gate.enter(Passage.NEW, begun.set, lambda _: None)
    assert not begun.is_set()
    await bounded("the next one begins", begun.wait())


async def test_who_comes_back_gets_the_next_token() -> None:
    gate = limited()
    gate.crowd(3)
    gate.crowd(1, Passage.RETURN)
    gate.later(1.0)
    assert gate.begun[2:] == ["return 0"]
    gate.later(1.0)
    assert gate.begun[3:] == ["new 2"]


async def test_a_health_check_needs_no_token() -> None:
    gate = limited()
    gate.crowd(5)
    gate.crowd(3, Passage.FREE)
    assert gate.begun[2:] == ["free 0", "free 1", "free 2"]


async def test_a_line_that_is_full_refuses_and_says_when_there_will_be_a_token() -> None:
    gate = limited()
    gate.crowd(6)
    assert set(gate.refused) == {"new 5"}
    refusal = gate.refused["new 5"]
    assert (refusal.code, refusal.retry_after_s) == ("too-many-connects", 4.0)
    assert gate.gate.waiting == 3


async def test_those_who_come_back_are_not_kept_out_by_a_line_of_others() -> None:
    gate = limited()
    gate.crowd(6)
    gate.crowd(1, Passage.RETURN)
    assert "return 0" not in gate.refused


async def test_who_would_wait_too_long_is_refused_at_once() -> None:
    gate = limited(wait_max_s=2.0)
    gate.crowd(5)
    assert set(gate.refused) == {"new 4"}


async def test_the_limit_of_who_waits_holds_without_a_rate_too() -> None:
    gate = Gate(GateLimits(waiting_max=2))
    gate.crowd(PER_TURN + 3)
    assert set(gate.refused) == {"new 10"}
    assert gate.refused["new 10"].retry_after_s == 1.0
    await turns(gate, PER_TURN + 2)


async def test_refusals_are_logged_once_until_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    gate = limited(waiting_max=1)
    gate.crowd(6)
    assert len(caplog.records) == 1
    gate.later(9.0)
    gate.crowd(6)
    assert len(caplog.records) == 2
    for line in gate.gate._lines:
        for entry in list(line):
            gate.gate.leave(entry)


# ---- at the port


async def test_a_crowd_of_websockets_all_have_their_sessions(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway()
    clients = await asyncio.gather(*(gateway.connect() for _ in range(5 * PER_TURN)))
    assert len(clients) == 5 * PER_TURN


async def test_over_the_rate_a_connection_is_refused_with_429_and_a_health_check_is_answered(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(admission={"connects_per_s": 1, "connects_burst": 1, "queue_timeout_s": 0.5})
    await gateway.connect()
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE))
    response = await socket.response()
    assert (response.status, response.headers["retry-after"]) == (429, "1")
    assert b'"too-many-connects"' in response.body
    assert await socket.until_eof() == b""
    assert (await get(gateway, "/ping")).status == 200


async def test_a_connection_that_is_held_back_loses_nothing_that_it_sent_meanwhile(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(admission={"connects_per_s": 20, "connects_burst": 1})
    await gateway.connect()
    held = await Client.connect(gateway.ws_url + "/v1/realtime")
    await held.name_model("nobody")
    assert await held.error() == "model-not-found"
    await held.close()


async def test_a_connection_that_is_cut_while_it_is_held_back_harms_nobody(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(admission={"connects_per_s": 20, "connects_burst": 1})
    await gateway.connect()
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE))
    socket.abort()
    await gateway.connect()


async def test_connections_that_are_held_back_are_cut_when_the_node_stops(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(admission={"connects_per_s": 1, "connects_burst": 1, "queue_timeout_s": 600.0})
    await gateway.connect()
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE))
    assert (await get(gateway, "/ping")).status == 200
    await gateway.close()
    assert await socket.until_eof() == b""
