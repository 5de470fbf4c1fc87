"""The session contract: what a session waits for, what is about to end it, and what happens at its bounds."""

import asyncio
from pathlib import Path

import pytest

from tests.contract.marks import requirement
from tests.contract.participant import Participant
from tests.contract.server import ContractServer
from tests.contract.stage import Stage, text_of
from tests.support.client import DROPPED, NO_CODE
from tests.support.fake_vllm import MODEL
from tests.support.sound import SAMPLE_RATE, pcm
from tests.support.voxtral import transcript

AUDIO = pcm(2.0)
TEXT = text_of(2.0)
NO_IDLE: dict[str, object] = {"idle_release_s": 0.0}


async def queued(stage: Stage) -> tuple[Participant, Participant]:
    """One client that has the only stream, and one that waits for it."""
    await stage.serve(upstream={"max_sessions": 1}, admission={"queue_max": 4, "queue_timeout_s": 60.0})
    first = await stage.opted_in()
    await first.turn(AUDIO)
    await first.until("transcription.done")
    return first, await stage.opted_in()


async def ended(client: Participant) -> str:
    """The code of the error with which the session ends."""
    ending = await client.until_closed()
    assert ending.kinds[-2:] == ["error", "session.ended"]
    error, last = ending.events[-2:]
    assert last["reason"] == error["parley"]["code"]
    return str(last["reason"])


def is_about(value_ms: int, expected_ms: int) -> bool:
    """Whether a time is what it was to be, but for the moments until it is written."""
    return expected_ms - 100 < value_ms <= expected_ms


# ---- the queue


@requirement("queued", "queued-eta", "output-not-numbered")
async def test_a_session_that_waits_for_a_model_server_is_told_its_place_and_takes_audio(stage: Stage) -> None:
    first, second = await queued(stage)
    state = await second.state()
    assert {name: state[name] for name in ("type", "position")} == {"type": "session.queued", "position": 1}
    assert "eta_ms" not in state or state["eta_ms"] >= 0
    await second.turn(AUDIO)
    await second.until_acked()
    await first.send("session.end")
    while (state := await second.state())["position"]:
        pass
    assert state == {"type": "session.queued", "position": 0}
    await second.until("transcription.done", text=TEXT)


@requirement("queued", "states-told-again")
async def test_a_client_that_comes_back_while_its_session_waits_is_told_so(stage: Stage) -> None:
    _, second = await queued(stage)
    await second.state()
    second.wire.abort()
    await stage.bring_back(second)
    assert (await second.state())["type"] == "session.queued"


@requirement("queued", "states-told-again", "stock-clients")
async def test_a_client_that_has_not_opted_in_is_told_once_it_does(stage: Stage) -> None:
    await queued(stage)
    client = await stage.plain()
    await client.append(b"")
    assert (await client.event())["type"] == "error"
    await client.send("session.update", model=MODEL, parley={"resume": True})
    assert [(await client.event())["type"] for _ in range(2)] == ["session.updated", "session.queued"]


# ---- what is about to end it


@requirement("expiring")
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"input_idle_timeout_s": 0.4}, "idle-timeout"),
        ({"duration_max_s": 0.4}, "duration-limit"),
    ],
)
async def test_a_session_that_has_had_its_time_ends_after_a_notice(
    stage: Stage, settings: dict[str, float], reason: str
) -> None:
    await stage.serve(session=settings)
    client = await stage.opted_in()
    state = await client.state()
    assert (state["type"], state["reason"]) == ("session.expiring", reason)
    assert is_about(state["in_ms"], 200)
    assert await ended(client) == reason


@requirement("expiring", "idle-silence")
async def test_silence_does_not_keep_a_session(stage: Stage) -> None:
    await stage.serve(session={"speech_idle_timeout_s": 1.0, **NO_IDLE})
    stage.vllm.speech = lambda _turn, _step: ""
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    assert (await client.state())["reason"] == "idle-timeout"
    await client.say(AUDIO)
    assert await ended(client) == "idle-timeout"


@requirement("expiring", "lagging")
async def test_a_model_that_falls_too_far_behind_ends_the_session(stage: Stage) -> None:
    # It is looked at once a second: between the notice, at half of it, and the end there is a look.
    await stage.serve(session={"lag_max_s": 3.0, **NO_IDLE})
    client = await stage.opted_in()
    (await stage.leg()).hold_model()
    await client.start()
    await client.say(pcm(2.5))
    assert (await client.state())["reason"] == "lag-limit"
    assert await ended(client) == "lag-limit"


@requirement("expiring-taken-back")
async def test_what_takes_a_notice_back_is_not_said(stage: Stage) -> None:
    await stage.serve(session={"input_idle_timeout_s": 1.0})
    client = await stage.opted_in()
    assert is_about((await client.state())["in_ms"], 500)
    await client.send("session.update", model=MODEL)
    assert is_about((await client.state())["in_ms"], 500)
    assert await ended(client) == "idle-timeout"
    assert len(client.states) == 2


@requirement("idle-owed")
async def test_a_client_that_is_owed_the_end_of_a_turn_is_not_idle(stage: Stage) -> None:
    # The session's own end is the clock.
    await stage.serve(session={"input_idle_timeout_s": 0.4, "duration_max_s": 2.0})
    client = await stage.opted_in()
    (await stage.leg()).hold_model()
    await client.turn(AUDIO)
    assert (await client.state())["reason"] == "duration-limit"
    assert await ended(client) == "duration-limit"


@requirement("lagging")
async def test_a_model_that_is_behind_is_told_until_it_has_caught_up(stage: Stage) -> None:
    await stage.serve(session={"lag_notice_s": 0.5, **NO_IDLE})
    client = await stage.opted_in()
    leg = await stage.leg()
    leg.hold_model()
    await client.start()
    await client.say(pcm(2.5))
    first, second = await client.state(), await client.state()
    assert {first["type"], second["type"]} == {"session.lagging"}
    assert 500 < first["lag_ms"] <= second["lag_ms"] / 2
    leg.release_model()
    while (state := await client.state())["lag_ms"]:
        pass
    assert state == {"type": "session.lagging", "lag_ms": 0}
    await client.finish()
    await client.until("transcription.done", text=text_of(2.5))


# ---- the server goes


@requirement("going-away")
async def test_a_server_that_goes_says_so_and_lets_a_turn_finish(stage: Stage) -> None:
    await stage.serve(drain={"timeout_s": 30.0})
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until_acked()
    stage.server.begin_stop()
    state = await client.state()
    assert (state["type"], state["reason"], state["moves"]) == ("session.going_away", "shutting-down", False)
    assert 0 < state["deadline_ms"] <= 30_000
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert await ended(client) == "shutting-down"


@requirement("going-away", "states-told-again")
async def test_who_opts_in_while_the_server_goes_is_told(stage: Stage) -> None:
    await stage.serve(drain={"timeout_s": 30.0})
    client = await stage.plain()
    await client.start()
    await client.append(AUDIO)
    await stage.leg()
    other = await stage.opted_in()
    await other.start()
    await other.append(AUDIO)
    await other.until_acked()
    stage.server.begin_stop()
    await other.state()
    await client.send("session.update", model=MODEL, parley={"resume": True})
    await client.until("session.updated")
    assert (await client.event())["type"] == "session.going_away"
    assert "session.going_away" not in [event["type"] for event in client.seen[:-1]]


# ---- at the bounds


async def choosing(stage: Stage, **policies: str) -> Participant:
    """A client that chose these policies for itself."""
    client = await stage.opted_in()
    await client.send("session.update", model=MODEL, parley={"resume": True, **policies})
    await client.until_acked()
    return client


@requirement("gap-told", "policies", "policy-drop", "states-told-again")
async def test_audio_that_a_model_does_not_keep_up_with_is_dropped_and_told(stage: Stage) -> None:
    await stage.serve(session={"held_audio_max_s": 2.0, **NO_IDLE})
    client = await choosing(stage, input_policy="drop-oldest")
    leg = await stage.leg()
    leg.hold_model()
    await client.start()
    await client.say(pcm(12.0))
    await client.until_acked()
    leg.release_model()
    await client.finish()
    await client.until("transcription.done")
    gaps = [event for event in client.seen if event["type"] == "session.gap"]
    assert {gap["reason"] for gap in gaps} == {"input-overrun"}
    dropped_ms = sum(gap["to_ms"] - gap["from_ms"] for gap in gaps)
    assert dropped_ms >= 1_000
    [heard] = leg.turns
    assert len(heard) // 32 == 12_000 - dropped_ms


@requirement("policies", "policy-terminate", "policy-choice")
async def test_a_session_may_be_ended_at_the_bound_of_its_input(stage: Stage) -> None:
    await stage.serve(session={"held_audio_max_s": 2.0, **NO_IDLE})
    client = await choosing(stage, input_policy="terminate")
    (await stage.leg()).hold_model()
    await client.start()
    await client.say(pcm(12.0))
    assert await ended(client) == "input-overrun"


@requirement("policies", "policy-block")
async def test_a_client_is_not_read_at_the_bound_of_its_input_and_nothing_is_lost(stage: Stage) -> None:
    await stage.serve(session={"held_audio_max_s": 2.0, **NO_IDLE})
    client = await stage.opted_in()
    leg = await stage.leg()
    leg.hold_model()
    await client.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.say(pcm(12.0)))
        await leg.until_samples(3 * SAMPLE_RATE)
        leg.release_model()
    await client.finish()
    await client.until("transcription.done", text=text_of(12.0))
    assert client.kinds == ["transcription.done"]


@requirement("gap-told", "policy-drop", "policy-choice")
async def test_text_that_nobody_fetches_is_dropped_and_told_and_the_end_has_it(stage: Stage) -> None:
    stage.vllm.speech = lambda _turn, _step: "x" * 200
    await stage.serve(session={"output_max_bytes": 8_192, **NO_IDLE})
    client = await choosing(stage, output_policy="drop-oldest")
    leg = await stage.leg()
    leg.hold_model()
    await client.turn(AUDIO)
    await client.until_acked()
    await client.wire.close(1000)
    leg.release_model()
    await leg.until_read()
    await stage.bring_back(client)
    kinds, event = [], await client.wire.receive()
    while event["type"] != "transcription.done":
        kinds.append((event["type"], event.get("reason")))
        event = await client.wire.receive()
    assert ("session.gap", "slow-client") in kinds
    assert event["text"] == transcript(2 * SAMPLE_RATE, speech=stage.vllm.speech)


@requirement("policies", "policy-block", "policy-choice")
async def test_a_model_is_fed_no_further_while_nobody_fetches_its_text_and_nothing_is_lost(stage: Stage) -> None:
    stage.vllm.speech = lambda _turn, _step: "x" * 200
    await stage.serve(session={"output_max_bytes": 8_192, "output_policy": "block", **NO_IDLE})
    client = await choosing(stage, output_policy="block")
    leg = await stage.leg()
    leg.hold_model()
    await client.turn(pcm(12.0))
    await client.until_acked()
    await leg.until_samples(3 * SAMPLE_RATE)
    await client.wire.close(1000)
    leg.release_model()
    await leg.until_read()
    assert len(leg.turns[0]) < 12 * SAMPLE_RATE * 2
    await stage.bring_back(client)
    await client.until("transcription.done", text=transcript(12 * SAMPLE_RATE, speech=stage.vllm.speech))
    assert client.kinds == ["transcription.done"]


@requirement("policy-choice")
@pytest.mark.parametrize(
    "policies", [{"output_policy": "block"}, {"input_policy": "hope"}, {"output_policy": ""}], ids=str
)
async def test_a_policy_that_is_not_to_be_had_is_refused(stage: Stage, policies: dict[str, str]) -> None:
    client = await stage.opted_in()
    await client.send("session.update", model=MODEL, parley={"resume": True, **policies})
    error = await client.expect("error")
    assert error["parley"]["code"] == "invalid-event"
    assert "terminate" in error["error"]
    await client.turn(AUDIO)
    await client.until("transcription.done", text=TEXT)


# ---- another server


@requirement("moves", "moved", "moved-outcome", "going-away")
async def test_a_session_goes_on_at_another_server(stage: Stage, tmp_path: Path) -> None:
    store = {"kind": "directory", "directory": str(tmp_path)}
    await stage.serve(store=store, drain={"timeout_s": 5.0}, session=NO_IDLE)
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until_acked()
    async with ContractServer(stage.vllm.url, store=store, session=NO_IDLE) as other:
        stage.server.begin_stop()
        assert (await client.state())["moves"] is True
        ending = await client.until_let_go()
        assert ending.error_code == "moved"
        assert ending.code in (1012, DROPPED, NO_CODE)
        resumed = await client.come_back(await stage.transport.connect(other, comes_back=True, credentials=""))
        assert (resumed["outcome"], resumed["lost"]) == ("rehydrated", [])
        await client.repeat()
        await client.finish()
        await client.until("transcription.done", text=TEXT)
