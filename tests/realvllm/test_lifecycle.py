"""vLLM starting and dying under the gateway. These tests have servers of their own, because they end them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from .process import Gateway, Vllm, free_port, http_status, wait_gone
from .sound import loud, quiet
from .talk import Event, ready_session

SENTENCE = quiet(0.4) + loud(3.0) + quiet(0.6)
MID_TURN = quiet(0.4) + loud(1.2)


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


def _assert_failed(events: list[Event], close_code: int) -> None:
    kinds = [event["type"] for event in events]
    assert kinds[-1:] == ["error"]
    assert "transcription.done" not in kinds
    assert close_code not in (1000, 1001, 1005, 1006)


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
    with Gateway.in_front_of("gateway-early", f"ws://127.0.0.1:{port}/v1/realtime") as gateway:
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


async def test_a_gateway_is_not_ready_before_its_vllm_and_fails_a_turn_whose_vllm_is_told_to_stop(
    late_start: LateStart,
) -> None:
    assert set(late_start.pings_before) == {503}
    assert await _a_turn(late_start.gateway.url) == SENTENCE.text
    _assert_failed(*await _interrupted_turn(late_start.gateway.url, lambda: late_start.vllm.signal(signal.SIGTERM)))
    late_start.gateway.until(lambda: http_status(late_start.gateway.ping_url) == 503)


DEATHS: dict[str, Callable[[Vllm], None]] = {
    "all of it killed": Vllm.kill_all,
    "its engine killed": lambda vllm: vllm.kill_descendant("VLLM::EngineCor"),
}


@pytest.fixture
async def own_pair() -> AsyncIterator[tuple[Vllm, Gateway]]:
    with Vllm("vllm-own") as vllm:
        await asyncio.to_thread(vllm.until_ready)
        with Gateway.in_front_of("gateway-own", vllm.url) as gateway:
            await asyncio.to_thread(gateway.until_ready)
            yield vllm, gateway


@pytest.mark.parametrize("die", DEATHS.values(), ids=DEATHS.keys())
async def test_a_turn_fails_when_vllm_dies(own_pair: tuple[Vllm, Gateway], die: Callable[[Vllm], None]) -> None:
    vllm, gateway = own_pair
    _assert_failed(*await _interrupted_turn(gateway.url, lambda: die(vllm)))


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
