"""vLLM starting late and staying away, and a gateway that takes it along.

These tests have servers of their own, because they end them. `test_recovery` is about a vLLM that comes back.
"""

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from .process import Gateway, Vllm, free_port, http_status, wait_gone
from .sound import loud, quiet
from .talk import Event, ready_session

SENTENCE = quiet(0.4) + loud(3.0) + quiet(0.6)
MID_TURN = quiet(0.4) + loud(1.2)
IMPATIENT = {"PARLEY_SESSION_RECOVERY_TIMEOUT_S": "5"}
CLOSE_TRY_AGAIN_LATER = 1013


async def _a_turn(url: str) -> str:
    async with ready_session(url) as session:
        return (await session.turn(SENTENCE)).text


async def _interrupted_turn(url: str, interrupt: Callable[[], None]) -> tuple[list[Event], int]:
    """What a client gets, to the end of its connection, when something happens in the middle of its turn."""
    async with ready_session(url) as session:
        await session.begin()
        await session.say(MID_TURN)
        await session.until_text(MID_TURN.text_so_far)
        await asyncio.to_thread(interrupt)
        return await session.until_closed()


@dataclass
class LateStart:
    """A gateway that ran before its vLLM, and what its /ping said while that was not and was healthy."""

    vllm: Vllm
    gateway: Gateway
    pings_before: list[int | None]


@pytest.fixture
def late_start() -> Iterator[LateStart]:
    port = free_port()
    pings_before: list[int | None] = []
    url = f"ws://127.0.0.1:{port}/v1/realtime"
    with Gateway.in_front_of("gateway-early", url, environment=IMPATIENT) as gateway:
        gateway.until(lambda: http_status(gateway.ping_url) is not None)
        with Vllm("vllm-late", port) as vllm:

            def is_healthy() -> bool:
                # In this order: health that comes in between does not make the earlier answer wrong.
                ping, health = http_status(gateway.ping_url), http_status(vllm.health_url)
                if health != 200:
                    pings_before.append(ping)
                return health == 200

            vllm.until(is_healthy)
            gateway.until_ready()
            yield LateStart(vllm, gateway, pings_before)


async def test_a_gateway_is_ready_once_its_vllm_is_and_ends_a_session_whose_vllm_stays_away(
    late_start: LateStart,
) -> None:
    assert set(late_start.pings_before) == {503}
    assert await _a_turn(late_start.gateway.url) == SENTENCE.text
    stop = functools.partial(late_start.vllm.signal, signal.SIGTERM)
    events, close_code = await _interrupted_turn(late_start.gateway.url, stop)
    assert [(event["type"], event["parley"]["code"]) for event in events] == [("error", "upstream-unavailable")]
    assert close_code == CLOSE_TRY_AGAIN_LATER
    late_start.gateway.until(lambda: http_status(late_start.gateway.ping_url) == 503)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_gateway_that_launches_vllm_takes_it_along_when_it_ends(how: signal.Signals) -> None:
    with Gateway.launching_vllm("gateway-launch") as gateway:
        gateway.until_ready()
        text = asyncio.run(_a_turn(gateway.url))
        started = gateway.members()
        gateway.signal(how)
        left = wait_gone(started)
    assert text == SENTENCE.text
    assert len(started) > 2, "vLLM is several processes"
    assert not left
