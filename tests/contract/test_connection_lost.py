"""The session contract: what becomes of a session whose client is gone, and how it comes back."""

import pytest

from parley.server.settings.document import ServerSettings
from tests.contract.losses import LONG, MS_BYTES, with_full_journal
from tests.contract.marks import requirement
from tests.contract.stage import Stage, text_of
from tests.contract.wires import TRANSPORTS, RefusedError
from tests.support.logs import LogWatch
from tests.support.sound import encoded, pcm, pieces

AUDIO = pcm(2.0)
TEXT = text_of(2.0)


@requirement("loss-is-no-end")
@pytest.mark.parametrize("code", [None, 1000, 1001, 1011, 4000])
async def test_no_way_to_lose_a_connection_ends_the_session(stage: Stage, code: int | None) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.settled()
    if code is None:
        client.wire.abort()
    else:
        await client.wire.close(code)
    await stage.bring_back(client)
    await client.finish()
    await client.until("transcription.done", text=TEXT)


@requirement("detached-goes-on")
async def test_while_nobody_is_there_the_model_goes_on_and_its_words_wait(stage: Stage) -> None:
    stage.vllm.runs = False
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until_acked()
    leg = await stage.leg()
    await leg.until_received("end")
    await client.wire.close(1000)
    leg.release_model()
    await leg.until_read()
    assert leg.model.generations[0].is_done, "the turn is over before its client is back"
    await stage.bring_back(client)
    await client.until("transcription.done", text=TEXT)
    assert stage.vllm.sessions == [leg]


@requirement("detached-window")
async def test_a_session_whose_client_stays_away_for_the_window_ends(stage: Stage) -> None:
    await stage.serve(session={"resume_window_s": 0.2})
    client = await stage.opted_in()
    assert client.window_s == 0.2
    await stage.leg()
    client.wire.abort()
    await stage.vllm.until_idle()
    ending = await stage.claim(client.token)
    # On a busy machine the time in which it is still known may be over as well.
    assert ending.error_code in ("expired", "unknown-session")


@requirement("detached-window")
async def test_the_window_begins_anew_with_each_loss(stage: Stage) -> None:
    client = await stage.opted_in()
    for _ in range(3):
        client.wire.abort()
        await stage.bring_back(client)
    await client.turn(AUDIO)
    await client.until("transcription.done", text=TEXT)


@requirement("detached-bound", "policy-terminate")
async def test_more_waiting_words_than_the_bound_end_the_session(stage: Stage) -> None:
    await stage.serve(session={"output_max_bytes": 4_096})
    stage.vllm.runs = False
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.until_acked(11)
    leg = await stage.leg()
    await leg.until_samples(32_000)
    await client.wire.close(1000)
    leg.send_event("transcription.delta", delta="x" * 2_000)
    await leg.until_read()
    assert not leg.is_lost, "below the bound it goes on"
    leg.send_event("transcription.delta", delta="x" * 4_000)
    await leg.until_lost()
    assert (await stage.claim(client.token)).error_code == "expired"


@requirement("end-how", "end-asked")
async def test_an_end_that_is_asked_for_is_answered_and_closes_with_1000(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.send("session.end")
    ending = await client.until_closed()
    assert (ending.kinds, ending.code) == (["session.ended"], 1000)
    await stage.vllm.until_idle()
    assert (await stage.claim(client.token, client.seq)).error_code == "expired"


# ---- coming back


@requirement("resume-any-route")
@pytest.mark.parametrize("other", list(TRANSPORTS))
@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_session_goes_on_over_any_transport(stage: Stage, other: str, *, comes_back: bool) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO[:48_000])
    await client.until("transcription.delta")
    client.wire.abort()
    wire = await stage.connect(over=TRANSPORTS[other], comes_back=comes_back)
    resumed = await client.come_back(wire)
    assert resumed["outcome"] == "resumed"
    await client.repeat()
    await client.say(AUDIO[48_000:])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert [turn for leg in stage.vllm.sessions for turn in leg.turns] == [AUDIO]


@requirement("resume-repeats")
@pytest.mark.parametrize("seq", [0, 2, 5])
async def test_every_event_after_the_number_comes_again_as_it_was_and_then_what_is_new(stage: Stage, seq: int) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.send("no.such.event")
    await client.until("error")
    seen = client.seen
    client.wire.abort()
    await stage.bring_back(client, seq=seq)
    assert [await client.event() for _ in seen[seq:]] == seen[seq:]
    await client.turn(AUDIO)
    assert (await client.event())["seq"] == len(seen) + 1


@requirement("resume-repeats")
async def test_repeated_events_may_be_had_a_third_time(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    seen = client.seen
    for seq in (1, 1, 4):
        client.wire.abort()
        await stage.bring_back(client, seq=seq)
        assert [await client.event() for _ in seen[seq:]] == seen[seq:]


@requirement("resume-input")
async def test_who_sends_again_what_was_not_taken_loses_and_doubles_nothing(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    parts = list(pieces(AUDIO))
    for part in parts[:12]:
        await client.append(part)
    client.wire.abort()
    for part in parts[12:15]:
        client.lose("input_audio_buffer.append", audio=encoded(part))
    resumed = await stage.bring_back(client)
    assert 0 <= resumed["input_seq"] <= 13
    await client.repeat()
    for part in parts[15:]:
        await client.append(part)
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert [turn for leg in stage.vllm.sessions for turn in leg.turns] == [AUDIO]


@requirement("created-void")
@pytest.mark.parametrize("comes_back", [True, False])
async def test_the_greeting_of_a_connection_that_comes_back_begins_nothing(
    stage: Stage, log: LogWatch, *, comes_back: bool
) -> None:
    await stage.serve(server={"max_sessions": 4})
    client = await stage.opted_in()
    for _ in range(3):
        client.wire.abort()
        resumed = await client.come_back(await stage.connect(comes_back=comes_back))
        assert resumed["id"] == client.session_id
    await client.turn(AUDIO)
    await client.until("transcription.done", text=TEXT)
    await stage.vllm.changes.until("one leg is left", lambda: len(stage.vllm.live) == 1)
    for _ in range(3):
        await (await stage.connect()).expect("session.created")
    assert [message for message in log.messages if " ended: " in message] == []


@requirement("resume-full")
async def test_a_full_server_lets_its_sessions_come_back_and_nobody_else_in(stage: Stage) -> None:
    await stage.serve(server={"max_sessions": 1})
    client = await stage.opted_in()
    client.wire.abort()
    with pytest.raises(RefusedError) as caught:
        await stage.connect()
    assert caught.value.code == "at-capacity"
    await stage.bring_back(client)
    await client.turn(AUDIO)
    await client.until("transcription.done", text=TEXT)


@requirement("resume-late")
@pytest.mark.without("memory", reason="the listener keeps this time, and there is none in memory")
async def test_a_connection_that_shows_no_token_in_time_is_closed(stage: Stage) -> None:
    assert ServerSettings().waiting_timeout_s == 10.0
    await stage.serve(server={"waiting_timeout_s": 0.2})
    client = await stage.opted_in()
    wire = await stage.connect(comes_back=True)
    await wire.expect("session.created")
    ending = await wire.until_closed()
    assert (ending.error_code, ending.code) == ("bad-request", 1008)
    await stage.bring_back(client)


# ---- the outcomes


@requirement("outcome-resumed")
async def test_when_nothing_happened_the_outcome_is_resumed(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.settled()
    client.wire.abort()
    resumed = await stage.bring_back(client)
    assert (resumed["outcome"], resumed["replayed_ms"], resumed["lost"]) == ("resumed", [], [])


@requirement("outcome-rehydrated", "intervals")
async def test_when_another_model_server_heard_the_audio_again_the_outcome_is_rehydrated(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    leg = await stage.leg()
    await leg.until_samples(32_000)
    await leg.until_read()
    await client.settled()
    client.wire.abort()
    leg.abort()
    other = await stage.leg(1)
    await other.until_samples(32_000)
    await other.until_read()
    resumed = await stage.bring_back(client)
    assert (resumed["outcome"], resumed["replayed_ms"], resumed["lost"]) == ("rehydrated", [[0, 2_000]], [])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    client.wire.abort()
    # Told once: what happened before is known.
    assert (await stage.bring_back(client))["outcome"] == "resumed"


@requirement("outcome-restarted", "intervals")
async def test_when_audio_was_gone_the_outcome_is_restarted_and_names_it(stage: Stage) -> None:
    await stage.serve(session={"journal_max_s": 2.5})
    client = await stage.opted_in()
    leg = await with_full_journal(stage, client)
    client.wire.abort()
    leg.abort()
    other = await stage.leg(1)
    await other.until_received("append")
    await other.until_read()
    resumed = await stage.bring_back(client)
    assert resumed["outcome"] == "restarted"
    ((begin, end),) = resumed["lost"]
    assert 0 <= begin < end <= 3_500
    assert other.turns[0] == LONG[end * MS_BYTES :]
