"""The session contract: turns that are cleared, given up and answered, and how a session ends."""

from functools import partial

import pytest

from parley.core.errors import ERRORS
from tests.contract.losses import heard
from tests.contract.marks import requirement
from tests.contract.stage import Stage, text_of
from tests.support.sound import pcm

AUDIO = pcm(2.0)
TEXT = text_of(2.0)
ENDS = {"transcription.done", "transcription.failed", "transcription.cancelled"}


# ---- clear


@requirement("clear")
async def test_cleared_audio_and_its_text_are_void_and_the_turn_begins_again(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(pcm(2.0, seed=9))
    await client.until("transcription.delta", item_id="item_1")
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared", item_id="item_1")
    await client.say(AUDIO)
    await client.finish()
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert client.items["item_1"].ends == []
    assert stage.vllm.sessions[-1].turns == [AUDIO]


@requirement("clear")
async def test_a_turn_that_was_not_started_may_be_cleared_too(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.say(pcm(2.0, seed=9))
    await client.send("input_audio_buffer.clear")
    await client.expect("input_audio_buffer.cleared", item_id="item_1")
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert [turn for leg in stage.vllm.sessions for turn in leg.turns] == [AUDIO]


@requirement("clear-empty")
@pytest.mark.parametrize("is_started", [True, False])
async def test_clearing_a_turn_without_audio_does_nothing(stage: Stage, *, is_started: bool) -> None:
    client = await stage.opted_in()
    if is_started:
        await client.start()
    await client.send("input_audio_buffer.clear")
    await client.settled()
    assert client.kinds == ["error"]
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_1", text=TEXT)


# ---- cancel


@requirement("cancel")
@pytest.mark.parametrize("item_id", [None, "item_1"])
async def test_the_oldest_turn_is_given_up_by_its_id_or_without(stage: Stage, item_id: str | None) -> None:
    stage.vllm.runs = False
    client = await stage.opted_in()
    await client.turn(pcm(2.0, seed=9))
    await client.turn(AUDIO)
    await heard(stage, 0, AUDIO)
    stage.vllm.runs = True
    await client.send("transcription.cancel", **({"item_id": item_id} if item_id else {}))
    await client.expect("transcription.cancelled", item_id="item_1")
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert [event["type"] for event in client.items["item_1"].ends] == ["transcription.cancelled"]


@requirement("cancel")
async def test_a_turn_that_waits_is_given_up_by_its_id(stage: Stage) -> None:
    stage.vllm.runs = False
    client = await stage.opted_in()
    for seed in (0, 1, 2):
        await client.turn(pcm(2.0, seed))
    await client.send("transcription.cancel", item_id="item_2")
    await client.expect("transcription.cancelled", item_id="item_2")
    (await stage.leg()).release_model()
    await client.until("transcription.done", item_id="item_1")
    await client.until("transcription.done", item_id="item_3")
    assert (await stage.leg()).turns == [pcm(2.0, 0), pcm(2.0, 2)]


@requirement("cancel-unknown")
@pytest.mark.parametrize("item_id", [None, "item_1", "item_2", "item_77"])
async def test_giving_up_a_turn_that_is_not_there_is_invalid(stage: Stage, item_id: str | None) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.send("transcription.cancel", **({"item_id": item_id} if item_id else {}))
    assert (await client.expect("error"))["parley"]["code"] == "invalid-event"
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_2", text=TEXT)


@requirement("turns-plain")
async def test_who_has_not_opted_in_is_answered_as_well(stage: Stage) -> None:
    client = await stage.plain()
    await client.start()
    await client.say(pcm(2.0, seed=9))
    await client.until("transcription.delta")
    await client.wire.send("input_audio_buffer.clear")
    cleared = await client.until("input_audio_buffer.cleared")
    assert cleared == {"type": "input_audio_buffer.cleared", "item_id": "item_1"}
    await client.say(pcm(2.0, seed=9))
    await client.wire.send("transcription.cancel", item_id="item_2")
    cancelled = await client.until("transcription.cancelled")
    assert cancelled == {"type": "transcription.cancelled", "item_id": "item_2"}
    await client.finish()
    await client.turn(AUDIO)
    assert (await client.until("transcription.done"))["text"] == TEXT


# ---- what is dropped


@requirement("given-up-input")
async def test_what_still_comes_of_a_turn_that_was_given_up_is_dropped_up_to_its_end(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until("transcription.delta")
    await client.send("transcription.cancel")
    await client.until("transcription.cancelled")
    await client.say(pcm(3.0, seed=9))
    await client.finish()
    await client.say(AUDIO)
    await client.start()
    await client.finish()
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert stage.vllm.sessions[-1].turns == [AUDIO]


@requirement("given-up-input")
async def test_what_still_comes_of_a_turn_that_was_given_up_is_dropped_up_to_the_next_start(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until("transcription.delta")
    await client.send("transcription.cancel")
    await client.until("transcription.cancelled")
    await client.say(pcm(3.0, seed=9))
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert stage.vllm.sessions[-1].turns == [AUDIO]


@requirement("given-up-input")
async def test_a_turn_that_was_given_up_begins_again_when_it_is_cleared(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until("transcription.delta")
    await client.send("transcription.cancel")
    await client.until("transcription.cancelled")
    await client.say(pcm(3.0, seed=9))
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared", item_id="item_1")
    await client.say(AUDIO)
    await client.finish()
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert stage.vllm.sessions[-1].turns == [AUDIO]


@requirement("given-up-input")
async def test_with_a_turn_that_is_given_up_ends_its_recovery_without_a_word(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    leg = await heard(stage, 0, AUDIO)
    stage.vllm.holds_handshakes = True
    leg.abort()
    await client.until("session.recovering")
    await client.send("transcription.cancel")
    await client.until("transcription.cancelled")
    await client.finish()
    stage.vllm.holds_handshakes = False
    for held in stage.vllm.sessions[1:]:
        if not held.is_lost:
            held.answer_handshake()
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert "session.recovered" not in client.kinds


@requirement("turn-answered-once")
async def test_every_turn_has_one_answer_whatever_becomes_of_it(stage: Stage) -> None:
    client = await stage.opted_in()
    # Heard, without audio, lost four times, given up while it waits, heard.
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.start()
    await client.finish()
    await client.until("transcription.done", item_id="item_2", text="")
    await client.start()
    await client.say(AUDIO)
    for number in range(4):
        (await heard(stage, number, AUDIO, turn=0 if number else 1)).abort()
    await client.until("transcription.failed")
    await client.finish()
    stage.vllm.runs = False
    await client.turn(AUDIO)
    await client.turn(AUDIO)
    await heard(stage, 4, AUDIO)
    stage.vllm.runs = True
    await client.send("transcription.cancel", item_id="item_4")
    await client.until("transcription.cancelled")
    await client.until("transcription.done", item_id="item_5")
    await client.settled()
    ends = [(event["item_id"], event["type"].split(".")[1]) for event in client.seen if event["type"] in ENDS]
    assert ends == [
        ("item_1", "done"),
        ("item_2", "done"),
        ("item_3", "failed"),
        ("item_4", "cancelled"),
        ("item_5", "done"),
    ]


# ---- the end


@requirement("ended", "ended-reason")
async def test_a_session_that_ends_by_itself_says_why_and_then_that_it_has_ended(stage: Stage) -> None:
    await stage.serve(server={"client_errors_max": 1})
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    for _ in range(2):
        await client.send("no.such.event")
    ending = await client.until_closed()
    assert ending.kinds[-2:] == ["error", "session.ended"]
    error, ended = ending.events[-2:]
    assert error["parley"]["code"] == ended["reason"] == ending.reason == "too-many-errors"
    assert ended["retry"] == error["parley"]["retry"] == "new-session"
    assert ending.code == ERRORS["too-many-errors"].ws_close
    assert (error["seq"], ended["seq"]) == (client.seq - 1, client.seq)


@requirement("ended", "ended-reason")
async def test_a_server_that_goes_away_says_so(stage: Stage) -> None:
    client = await stage.opted_in()
    stage.server.begin_stop()
    ending = await client.until_closed()
    assert ending.kinds == ["error", "session.ended"]
    assert (ending.events[-1]["reason"], ending.events[-1]["retry"]) == ("shutting-down", "new-session")


@requirement("ended-reason")
async def test_the_reason_of_an_end_that_was_asked_for_is_that_the_client_ended_it(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.send("session.end")
    ended = await client.expect("session.ended", reason="client-ended", retry="never")
    assert set(ended) == {"type", "reason", "retry", "seq"}
    await stage.vllm.changes.until("no leg is left", partial(no_legs, stage))


def no_legs(stage: Stage) -> bool:
    return not stage.vllm.live
