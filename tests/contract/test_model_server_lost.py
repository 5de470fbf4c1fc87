"""The session contract: what a client sees, and does not see, of a model server that is lost."""

import re
from functools import partial

import pytest

from parley.core.errors import ERRORS
from parley.server.settings.document import SessionSettings
from tests.contract.losses import (
    FRAME_MS,
    LONG,
    LOSSES,
    MS_BYTES,
    heard,
    later,
    script,
    talk,
    with_full_journal,
)
from tests.contract.marks import requirement
from tests.contract.page import REQUIREMENTS
from tests.contract.stage import Stage, steady, text_of
from tests.support.fake_vllm import FakeVllm
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

AUDIO = pcm(5.0)
TEXT = text_of(5.0)
FIRST, REST = AUDIO[: 1_500 * MS_BYTES], AUDIO[1_500 * MS_BYTES :]

SAID = script("😀", "eins", "zwei", "drei")
HEARD = script("😀", "eins", "zwo", "drei", "vier")
CHANGED = transcript(5 * 16_000, speech=HEARD)
UP_TO_DREI = 2_100 * MS_BYTES
"""So much audio that `SAID` is said to its end."""


# ---- lost and found


@requirement("leg-lost", "text-once", "recovering", "recovered")
@pytest.mark.parametrize("how", LOSSES)
async def test_a_turn_goes_on_elsewhere_whatever_became_of_its_model_server(stage: Stage, how: str) -> None:
    loss = LOSSES[how]
    await stage.serve(session=loss.session)
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    loss.do(await heard(stage, 0, FIRST))
    await client.say(REST)
    await client.until("session.recovering", reason=loss.reason)
    await client.until("session.recovered", outcome="rehydrated", lost=[])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert client.kinds == ["session.recovering", "session.recovered", "transcription.done"]
    assert client.items["item_1"].pieces == TEXT
    assert stage.vllm.sessions[-1].turns == [AUDIO]


@requirement("leg-lost")
async def test_a_model_server_that_answers_speech_with_nothing_is_replaced(stage: Stage) -> None:
    speech = talk(20.0)
    stage.vllm.speech = lambda _turn, _step: ""
    client = await stage.opted_in()
    await stage.leg()
    stage.vllm.speech = steady
    await client.start()
    await client.say(speech)
    await client.until("session.recovering", reason="upstream-mute")
    await client.finish()
    await client.until("transcription.done", text=text_of(20.0))
    assert stage.vllm.sessions[1].turns == [speech]


@requirement("leg-lost")
async def test_a_model_server_that_does_not_end_a_turn_is_replaced(stage: Stage) -> None:
    await stage.serve(session={"flush_timeout_s": 0.4})
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    (await heard(stage, 0, AUDIO)).hold_model()
    await client.finish()
    await client.until("session.recovering", reason="upstream-stalled")
    await client.until("transcription.done", text=TEXT)


def was_looked_at(server: FakeVllm) -> bool:
    return len(server.requests) >= 3


@requirement("leg-lost")
async def test_another_model_server_takes_over_where_there_is_one(stage: Stage) -> None:
    async with FakeVllm(steady) as other:
        servers = (stage.vllm, other)
        await stage.serve(upstream={"urls": tuple(server.url for server in servers)})
        for server in servers:
            await server.changes.until("it was looked at", partial(was_looked_at, server))
        client = await stage.opted_in()
        await client.start()
        await client.say(FIRST)
        await client.until("transcription.delta")
        (lost,) = [server for server in servers if server.live]
        (found,) = [server for server in servers if server is not lost]
        await lost.stop()
        await client.say(REST)
        await client.finish()
        await client.until("transcription.done", text=TEXT)
        assert [leg.turns for leg in found.sessions] == [[AUDIO]]
        await lost.start(lost.port)


@requirement("leg-lost", "journal-kept")
async def test_audio_is_heard_again_from_the_last_pause_on(stage: Stage) -> None:
    speech = script("eins", "zwei", *[""] * 5, "drei", "vier")
    stage.vllm.speech = speech
    client = await stage.opted_in()
    await client.start()
    in_the_pause = 2_500 * MS_BYTES
    await client.say(AUDIO[:in_the_pause])
    leg = await heard(stage, 0, AUDIO[:in_the_pause])
    # The second word is said with the sixth frame.
    pause_ms = 6 * FRAME_MS
    stage.vllm.speech = later(speech, pause_ms)
    leg.abort()
    recovered = await client.until("session.recovered")
    assert recovered["replayed_ms"] == [[pause_ms, 2_500]]
    await client.say(AUDIO[in_the_pause:])
    await client.finish()
    await client.until("transcription.done", text=" eins zwei drei vier")
    assert client.items["item_1"].pieces == " eins zwei drei vier"
    assert stage.vllm.sessions[1].turns == [AUDIO[pause_ms * MS_BYTES :]]


@requirement("leg-lost")
async def test_audio_is_heard_again_faster_than_real_time(stage: Stage) -> None:
    audio = pcm(25.0)
    client = await stage.opted_in()
    await client.start()
    await client.say(audio)
    leg = await heard(stage, 0, audio)
    leg.abort()
    # The bound of the wait is less than what is heard again.
    recovered = await bounded("it is heard again", client.until("session.recovered"))
    assert recovered["replayed_ms"] == [[0, 25_000]]


@requirement("text-once")
@pytest.mark.parametrize("heard_ms", [0, 500, 1_000, 3_000, 5_000])
async def test_text_comes_once_wherever_its_model_server_was_lost(stage: Stage, heard_ms: int) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO[: heard_ms * MS_BYTES])
    (await heard(stage, 0, AUDIO[: heard_ms * MS_BYTES])).abort() if heard_ms else (await stage.leg()).abort()
    await client.say(AUDIO[heard_ms * MS_BYTES :])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert client.items["item_1"].pieces == TEXT


@requirement("text-once")
async def test_text_that_was_not_sent_when_the_turn_was_complete_is_not_lost(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    leg = await heard(stage, 0, FIRST)
    leg.hold_model()
    await client.say(REST)
    await client.finish()
    await leg.until_samples(len(FIRST) // 2 + 16_000)
    leg.abort()
    await client.until("transcription.done", text=TEXT)
    assert client.items["item_1"].pieces == TEXT


@requirement("text-once")
async def test_text_comes_once_however_often_model_servers_are_lost(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    for number in range(5):
        await client.say(AUDIO[number * 32_000 : (number + 1) * 32_000])
        (await heard(stage, number, AUDIO[: (number + 1) * 32_000])).abort()
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert client.items["item_1"].pieces == TEXT


# ---- what is told of it


@requirement("recovering")
async def test_while_another_is_looked_for_the_client_goes_on_sending(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    leg = await heard(stage, 0, FIRST)
    stage.vllm.holds_handshakes = True
    leg.abort()
    await client.until("session.recovering", reason="upstream-closed")
    await client.say(REST)
    await client.finish()
    await client.until_acked()
    assert client.cursor_ms == 5_000
    (await stage.leg(1)).answer_handshake()
    await client.until("transcription.done", text=TEXT)


@requirement("recovered", "intervals")
async def test_it_is_over_when_another_has_caught_up_and_not_before(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    leg = await heard(stage, 0, FIRST)
    stage.vllm.runs = False
    leg.abort()
    other = await stage.leg(1)
    await other.until_samples(len(FIRST) // 2)
    await client.settled()
    assert client.kinds == ["session.recovering", "error"]
    other.release_model()
    await client.expect("session.recovered", outcome="rehydrated", replayed_ms=[[0, 1_500]], lost=[])


# ---- other words


@requirement("revised", "revised-code-points", "revised-final")
async def test_other_words_of_the_new_model_server_are_a_revision(stage: Stage) -> None:
    stage.vllm.speech = SAID
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO[:UP_TO_DREI])
    leg = await heard(stage, 0, AUDIO[:UP_TO_DREI])
    await client.settled()
    before = client.items["item_1"].text
    assert before == " 😀 eins zwei drei"
    stage.vllm.speech = HEARD
    leg.abort()
    await client.say(AUDIO[UP_TO_DREI:])
    revised = await client.until("transcription.revised", item_id="item_1")
    # Counted in UTF-16 or bytes, the emoji would move both.
    assert (revised["start"], revised["end"]) == (len(" 😀 eins "), len(before))
    assert revised["text"].startswith("zwo drei")
    assert 0 <= revised["from_ms"] < revised["to_ms"] <= 5_000
    await client.finish()
    # Fails where the final text is not what deltas and revisions make of it.
    await client.until("transcription.done", text=CHANGED)
    assert client.kinds.count("transcription.revised") == 1


@requirement("revised-final")
async def test_deltas_after_a_revision_follow_the_revised_text(stage: Stage) -> None:
    stage.vllm.speech = SAID
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO[:UP_TO_DREI])
    leg = await heard(stage, 0, AUDIO[:UP_TO_DREI])
    stage.vllm.speech = script("😀", "eins", "zwo", "drei", *"abcdefgh")
    leg.abort()
    await client.say(AUDIO[UP_TO_DREI:])
    await client.until("transcription.revised")
    revised = client.items["item_1"].text
    await client.until("transcription.delta")
    await client.finish()
    done = await client.until("transcription.done")
    assert revised.startswith(" 😀 eins zwo drei")
    assert done["text"].startswith(revised)
    assert len(done["text"]) > len(revised)


@requirement("revised-untold", "revised-plain")
async def test_who_has_not_opted_in_gets_what_follows_and_the_right_text_in_the_end(stage: Stage) -> None:
    stage.vllm.speech = SAID
    client = await stage.plain()
    await client.start()
    await client.say(AUDIO[:UP_TO_DREI])
    leg = await heard(stage, 0, AUDIO[:UP_TO_DREI])
    stage.vllm.speech = HEARD
    leg.abort()
    await client.say(AUDIO[UP_TO_DREI:])
    await client.finish()
    done = await client.until("transcription.done")
    assert {event["type"] for event in client.seen} == {"transcription.delta", "transcription.done"}
    assert client.deltas == " 😀 eins zwei drei vier"
    assert done["text"] == CHANGED


# ---- what can't be helped


@requirement("turn-failed")
async def test_a_turn_that_four_model_servers_failed_on_fails_alone(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    for number in range(4):
        await client.settled()
        assert "transcription.failed" not in client.kinds
        (await heard(stage, number, FIRST)).abort()
    failed = await client.until("transcription.failed", item_id="item_1")
    assert set(failed["error"]) == {"code", "message", "fault", "retry"}
    assert (failed["error"]["code"], failed["error"]["fault"]) == ("turn-failed", "upstream")
    await client.finish()
    await client.turn(AUDIO)
    await client.until("transcription.done", item_id="item_2", text=TEXT)
    assert [event["type"] for event in client.items["item_1"].ends] == ["transcription.failed"]


@requirement("turn-failed")
async def test_a_turn_on_which_each_model_server_gets_further_does_not_fail(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    for number in range(5):
        await client.say(AUDIO[number * 32_000 : (number + 1) * 32_000])
        for attempt in range(2):
            (await heard(stage, 2 * number + attempt, AUDIO[: (number + 1) * 32_000])).abort()
    await client.finish()
    await client.until("transcription.done", text=TEXT)


@requirement("turn-failed-plain")
async def test_who_has_not_opted_in_is_told_of_a_failed_turn_by_an_error(stage: Stage) -> None:
    client = await stage.plain()
    await client.start()
    await client.say(FIRST)
    for number in range(4):
        (await heard(stage, number, FIRST)).abort()
    error = await client.until("error")
    assert error["parley"]["code"] == "turn-failed"
    assert list(error) == ["type", "error", "code", "parley"]
    await client.finish()
    await client.turn(AUDIO)
    assert (await client.until("transcription.done"))["text"] == TEXT


@requirement("journal-bound", "outcome-restarted", "intervals")
async def test_audio_that_is_gone_and_had_no_text_is_named(stage: Stage) -> None:
    await stage.serve(session={"journal_max_s": 2.5})
    client = await stage.opted_in()
    leg = await with_full_journal(stage, client)
    leg.abort()
    recovered = await client.until("session.recovered")
    assert recovered["outcome"] == "restarted"
    ((begin, end),) = recovered["lost"]
    # From the end of the last word to where the audio that is left begins.
    assert begin == 6 * FRAME_MS
    await client.finish()
    await client.until("transcription.done")
    assert stage.vllm.sessions[1].turns == [LONG[end * MS_BYTES :]]


@requirement("journal-kept")
def test_as_much_audio_is_kept_as_the_page_says() -> None:
    (promised_s,) = re.findall(r"up to (\d+) s", REQUIREMENTS["journal-kept"].sentence)
    assert SessionSettings().journal_max_s == float(promised_s)


@requirement("journal-kept")
async def test_audio_within_the_bound_can_be_heard_again(stage: Stage) -> None:
    await stage.serve(session={"journal_max_s": 4.0})
    client = await stage.opted_in()
    leg = await with_full_journal(stage, client)
    leg.abort()
    await client.finish()
    await client.until("transcription.done", text=text_of(3.5))
    assert stage.vllm.sessions[1].turns == [LONG]
    (outcome,) = [event["outcome"] for event in client.seen if event["type"] == "session.recovered"]
    assert outcome == "rehydrated"


@requirement("no-model-server")
async def test_when_no_model_server_is_found_in_time_the_session_ends_with_the_last_error(stage: Stage) -> None:
    (promised_s,) = re.findall(r"for (\d+) s", REQUIREMENTS["no-model-server"].sentence)
    assert SessionSettings().recovery_timeout_s == float(promised_s)
    await stage.serve(session={"recovery_timeout_s": 0.3})
    client = await stage.opted_in()
    await client.start()
    await client.say(FIRST)
    leg = await heard(stage, 0, FIRST)
    stage.vllm.refuses_with = 500
    leg.abort()
    # The loss itself was another error.
    await client.until("session.recovering", reason="upstream-closed")
    ending = await client.until_closed()
    assert ending.kinds == ["error", "session.ended"]
    assert ending.events[0]["parley"]["code"] == ending.events[1]["reason"] == "upstream-unavailable"
    assert ending.code == ERRORS["upstream-unavailable"].ws_close
