"""The client against the real gateway, with connections that are cut on the way."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from parley.client import (
    ClientLimits,
    ConnectionLost,
    Event,
    InputCleared,
    RealtimeSession,
    Recovered,
    Recovering,
    SessionEnded,
    SessionFailed,
    SessionResumed,
    TextDelta,
    Transcript,
    TurnCancelled,
    TurnDone,
    connect,
)
from tests.support.chaos_proxy import ChaosProxy
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

SECOND_SAMPLES = 16_000


@pytest.fixture
async def proxy(gateway: RunningGateway) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(gateway.ws_url) as proxy:
        yield proxy


async def next_of[T: Event](session: RealtimeSession, kind: type[T]) -> T:
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError("the session ended")


async def heard(session: RealtimeSession, turns: int) -> tuple[list[Event], list[TurnDone]]:
    """All events up to the end of so many turns."""
    events: list[Event] = []
    ends: list[TurnDone] = []
    while len(ends) < turns:
        event = await bounded("the next event", anext(session))
        events.append(event)
        if isinstance(event, TurnDone):
            ends.append(event)
    return events, ends


async def say(session: RealtimeSession, audio: bytes) -> None:
    await session.start_turn()
    await session.send_audio(audio)
    await session.end_turn()


async def test_a_session_goes_on_after_its_connection_was_cut(proxy: ChaosProxy) -> None:
    async with connect(proxy.url) as session:
        assert session.can_resume
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        await bounded("words", next_of(session, TextDelta))
        proxy.cut()
        lost = await bounded("the loss", next_of(session, ConnectionLost))
        back = await bounded("the resume", next_of(session, SessionResumed))
        await session.send_audio(pcm(1.0))
        await session.end_turn()
        done = await bounded("the end", next_of(session, TurnDone))
    assert lost.close_code == 1006
    assert (back.outcome, back.lost_ms, back.replayed_ms) == ("resumed", (), ())
    assert done.text == transcript(2 * SECOND_SAMPLES).strip()
    assert proxy.accepted == 2


@pytest.mark.parametrize("seed", range(8))
async def test_wherever_connections_are_cut_nothing_is_lost_or_doubled(
    seed: int, proxy: ChaosProxy, vllm: FakeVllm
) -> None:
    chance = random.Random(seed)
    # The first connection has to begin a session; those that follow may be cut in the middle of their handshakes.
    proxy.up.cuts = [chance.randrange(1_200, 60_000), *(chance.randrange(40_000) for _ in range(5))]
    proxy.down.cuts = [chance.randrange(600, 4_000), *(chance.randrange(2_000) for _ in range(5))]
    audio = [pcm(seconds, seed + number) for number, seconds in enumerate((2.0, 1.3, 0.7))]
    limits = ClientLimits(fruitless_max=1_000)
    async with connect(proxy.url, session_limits=limits) as session, asyncio.TaskGroup() as tasks:

        async def speak() -> None:
            for turn in audio:
                await say(session, turn)

        tasks.create_task(speak())
        events, ends = await heard(session, len(audio))
    assert proxy.cuts > 1
    assert vllm.sessions[0].turns == audio
    texts = [transcript(len(turn) // 2, number) for number, turn in enumerate(audio)]
    assert [end.text for end in ends] == [text.strip() for text in texts]
    pieces = [event for event in events if isinstance(event, TextDelta)]
    assert ["".join(piece.text for piece in pieces if piece.item == item) for item in (1, 2, 3)] == texts
    assert {event.outcome for event in events if isinstance(event, SessionResumed)} == {"resumed"}


async def test_a_transcript_holds_through_cuts_and_the_loss_of_the_model_server(
    proxy: ChaosProxy, vllm: FakeVllm
) -> None:
    said = Transcript()
    async with connect(proxy.url) as session:
        await session.start_turn()
        await session.send_audio(pcm(2.0))
        said.apply(await bounded("words", next_of(session, TextDelta)))
        proxy.cut()
        vllm.live[0].abort()
        await session.send_audio(pcm(2.0))
        await session.end_turn()
        events, (done,) = await heard(session, 1)
        for event in events[:-1]:
            said.apply(event)
    kinds = [type(event) for event in events]
    assert ConnectionLost in kinds
    assert SessionResumed in kinds
    assert Recovering in kinds
    assert Recovered in kinds
    assert done.text == transcript(4 * SECOND_SAMPLES).strip()
    assert said.text(1) == done.text


async def test_what_is_cleared_and_cancelled_is_void(proxy: ChaosProxy, vllm: FakeVllm) -> None:
    said = Transcript()
    async with connect(proxy.url) as session:
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        said.apply(await bounded("words", next_of(session, TextDelta)))
        await session.clear()
        cleared = await bounded("the answer", next_of(session, InputCleared))
        said.apply(cleared)
        assert said.text(1) == ""
        await session.send_audio(pcm(1.0, 1))
        await session.cancel()
        assert await bounded("the answer", next_of(session, TurnCancelled)) == TurnCancelled(2)
        await say(session, pcm(1.0, 2))
        _, (done,) = await heard(session, 1)
    assert cleared == InputCleared(1)
    assert done.item == 3
    assert vllm.live == [] or vllm.sessions[-1].turns[-1] == pcm(1.0, 2)


async def test_closing_ends_the_session_on_the_server_too(proxy: ChaosProxy, vllm: FakeVllm) -> None:
    async with connect(proxy.url) as session:
        await say(session, pcm(1.0))
        await heard(session, 1)
        await session.close()
        assert [event async for event in session][-1] == SessionEnded("client-ended", "never")
        with pytest.raises(RuntimeError, match="over"):
            await session.start_turn()
    await vllm.until_idle()


async def test_a_server_that_stays_away_is_given_up_at_the_windows_end(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"resume_window_s": 0.5})
    async with ChaosProxy(gateway.ws_url) as proxy, connect(proxy.url) as session:
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        proxy.is_refusing = True
        proxy.cut()
        with pytest.raises(SessionFailed) as caught:
            await bounded("the failure", next_of(session, TurnDone))
        with pytest.raises(SessionFailed):
            await session.send_audio(pcm(1.0))
    assert caught.value.code == "connection-lost"
    assert "not known: 1." in caught.value.message
    assert "attempts in" in caught.value.message


async def test_a_session_that_someone_took_over_is_over(proxy: ChaosProxy) -> None:
    async with connect(proxy.url) as session, connect(proxy.url) as other:
        await session.start_turn()
        # As a second device would that was given the token.
        other._machine._conversation._token = session._machine._conversation._token
        proxy.cut()
        with pytest.raises(SessionFailed) as caught:
            await asyncio.gather(bounded("the loser", next_of(session, TurnDone)), next_of(other, TurnDone))
    assert caught.value.code == "superseded"


async def test_without_resume_a_cut_within_a_turn_is_a_failure(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"resume_window_s": 0.0})
    async with ChaosProxy(gateway.ws_url) as proxy, connect(proxy.url) as session:
        assert not session.can_resume
        await session.start_turn()
        proxy.cut()
        with pytest.raises(SessionFailed, match="not complete"):
            await bounded("the failure", next_of(session, TurnDone))


async def test_a_client_may_do_without_resume(proxy: ChaosProxy) -> None:
    async with connect(proxy.url, resume=False) as session:
        assert not session.can_resume
        with pytest.raises(RuntimeError, match="can_resume"):
            await session.clear()
        await say(session, pcm(1.0))
        await say(session, pcm(0.5))
        _, ends = await heard(session, 2)
    assert [end.item for end in ends] == [1, 2]


async def test_input_waits_while_the_server_is_away_for_too_long(proxy: ChaosProxy) -> None:
    limits = ClientLimits(unacked_max_s=1.5, retry_first_s=0.02, retry_max_s=0.02)
    async with connect(proxy.url, session_limits=limits) as session:
        await session.start_turn()
        proxy.is_refusing = True
        proxy.cut()
        await bounded("the loss", next_of(session, ConnectionLost))
        sending = asyncio.create_task(session.send_audio(pcm(3.0)))
        accepted = proxy.accepted
        async with asyncio.timeout(20):
            # A connection that is refused, and a machine, have no event for it.
            while proxy.accepted < accepted + 3 or session._machine.can_take_input:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not sending.done()
        proxy.is_refusing = False
        await bounded("the audio goes", sending)
        await session.end_turn()
        _, (done,) = await heard(session, 1)
    assert done.text == transcript(3 * SECOND_SAMPLES).strip()
