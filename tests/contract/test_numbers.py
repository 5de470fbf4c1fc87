"""The session contract: numbers, items and acknowledgements."""

import pytest

from parley.server.settings.document import SessionSettings
from tests.contract.marks import requirement
from tests.contract.stage import Stage, text_of
from tests.support.sound import encoded, pcm, pieces

AUDIO = pcm(2.0)
TEXT = text_of(2.0)
SECOND = 32_000
"""Bytes of a second of audio."""


@requirement("output-numbered")
async def test_every_event_after_the_opt_in_has_the_next_number(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.start()
    await client.say(AUDIO)
    (await stage.leg()).abort()
    await client.until("session.recovered")
    await client.send("input_audio_buffer.clear")
    await client.send("transcription.cancel")
    await client.send("no.such.event")
    await client.send("session.end")
    await client.until_closed()
    assert set(client.kinds) == {
        "transcription.done",
        "session.recovering",
        "session.recovered",
        "input_audio_buffer.cleared",
        "transcription.cancelled",
        "error",
        "session.ended",
    }
    assert [event["seq"] for event in client.seen] == list(range(1, len(client.seen) + 1))


@requirement("output-not-numbered")
async def test_what_only_says_where_things_stand_has_no_number(stage: Stage) -> None:
    wire = await stage.connect()
    created = await wire.expect("session.created")
    await wire.send("session.update", model="", parley={"resume": True})
    updated = await wire.expect("session.updated")
    await wire.send("input_audio_buffer.commit")
    ack = await wire.expect("session.ack")
    wire.abort()
    wire = await stage.connect()
    await wire.expect("session.created")
    await wire.send("session.resume", token=updated["resume"]["token"], seq=0)
    resumed = await wire.expect("session.resumed")
    assert [event for event in (created, updated, ack, resumed) if "seq" in event] == []
    # None of them took a number either.
    await wire.send("no.such.event")
    assert (await wire.expect("error"))["seq"] == 1


@requirement("input-counted")
async def test_every_message_after_the_opt_in_counts_also_a_refused_one(stage: Stage) -> None:
    client = await stage.opted_in()
    assert client.input_seq == 0
    await client.start()
    # Longer than the pieces that the model server is sent.
    await client.append(pcm(3.0))
    await client.send("no.such.event")
    await client.wire.send_message(b"no JSON")
    client.sent.append({"type": "no JSON"})
    await client.finish()
    await client.until_acked(5)
    await client.until("transcription.done")
    await client.send("transcription.cancel", item_id="item_9")
    await client.until_acked(6)
    client.wire.abort()
    assert (await stage.bring_back(client))["input_seq"] == 6


@requirement("input-not-counted")
async def test_acknowledging_and_resuming_do_not_count(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.acknowledge()
    client.wire.abort()
    await stage.bring_back(client)
    await client.acknowledge()
    await client.settled()
    assert client.input_seq == len(client.sent)


@requirement("item-stable")
async def test_a_turn_keeps_its_item_over_connections_and_model_servers(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.start()
    await client.say(AUDIO[:48_000])
    await client.until("transcription.delta", item_id="item_2")
    (await stage.leg()).abort()
    await client.until("session.recovered")
    await client.settled()
    client.wire.abort()
    await stage.bring_back(client)
    await client.say(AUDIO[48_000:])
    await client.finish()
    await client.until("transcription.done")
    assert {event["item_id"] for event in client.seen if "item_id" in event} == {"item_1", "item_2"}
    assert all("item_id" in event for event in client.seen if event["type"].startswith("transcription."))
    assert len(client.items["item_2"].ends) == 1


@requirement("item-first")
async def test_turns_are_items_in_the_order_that_they_were_begun_in(stage: Stage) -> None:
    client = await stage.opted_in()
    for number in (1, 2, 3):
        await client.turn(pcm(1.0, number))
    for number in (1, 2, 3):
        assert (await client.until("transcription.done"))["item_id"] == f"item_{number}"
    (leg,) = stage.vllm.sessions
    assert leg.turns == [pcm(1.0, number) for number in (1, 2, 3)]


# ---- acknowledgements


@requirement("input-acknowledged", "ack-server")
@pytest.mark.parametrize("piece_bytes", [SECOND // 10, SECOND, 3 * SECOND])
async def test_each_second_of_audio_is_acknowledged(stage: Stage, piece_bytes: int) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.until_acked()
    for second in (1, 2, 3):
        await client.say(pcm(max(1.0, piece_bytes / SECOND), second), piece_bytes)
        await client.until_acked()
        assert client.cursor_ms == second * 1_000 * max(1, piece_bytes // SECOND)


@requirement("input-acknowledged")
async def test_every_message_but_audio_is_acknowledged_at_once(stage: Stage) -> None:
    client = await stage.opted_in()
    messages: list[dict[str, object]] = [
        {"kind": "session.update", "model": ""},
        {"kind": "input_audio_buffer.commit"},
        {"kind": "input_audio_buffer.clear"},
        {"kind": "transcription.cancel"},
        {"kind": "input_audio_buffer.commit", "final": True},
        {"kind": "no.such.event"},
    ]
    for message in messages:
        await client.send(str(message.pop("kind")), **message)
        await client.until_acked()
    assert client.input_seq == 6


@requirement("ack-server")
async def test_what_was_acknowledged_survives_the_loss_of_the_connection(stage: Stage) -> None:
    stage.vllm.runs = False
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.finish()
    await client.until_acked()
    assert client.cursor_ms == 2_000
    client.wire.abort()
    resumed = await stage.bring_back(client)
    assert (resumed["input_seq"], resumed["cursor_ms"]) == (len(client.sent), 2_000)
    (await stage.leg()).release_model()
    await client.until("transcription.done", text=TEXT)


@requirement("ack-client")
async def test_what_the_client_acknowledged_is_not_kept(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    before = client.seq - 1
    await client.acknowledge()
    await client.settled()
    assert (await stage.claim(client.token, before)).error_code == "gap"
    await stage.bring_back(client)


@requirement("output-kept")
async def test_what_is_not_acknowledged_is_kept_up_to_a_bound_and_the_oldest_goes(stage: Stage) -> None:
    await stage.serve(session={"ledger_max_bytes": 4_096})
    client = await stage.opted_in()
    await client.turn(pcm(20.0))
    await client.until("transcription.done")
    assert (await stage.claim(client.token, 0)).error_code == "gap"
    newest = client.seen[-3:]
    await stage.bring_back(client, seq=client.seq - 3)
    assert [await client.event() for _ in newest] == newest


@requirement("output-kept")
async def test_the_bound_is_what_the_page_says(stage: Stage) -> None:
    assert SessionSettings().ledger_max_bytes == 256 * 1_024
    await stage.serve(session={"ledger_max_bytes": SessionSettings().ledger_max_bytes})
    stage.vllm.runs = False
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    leg = await stage.leg()
    await leg.until_samples(32_000)
    words = [f" {number}" + "x" * 6_000 for number in range(40)]
    for word in words:
        leg.send_event("transcription.delta", delta=word)
    await leg.until_read()
    await client.settled()
    seen = client.seen
    # What a client is not ready for comes joined.
    assert client.items["item_1"].text == "".join(words)
    client.wire.abort()
    await stage.bring_back(client, seq=0)
    assert [await client.event() for _ in seen] == seen


@requirement("ack-often-enough")
async def test_who_acknowledges_every_32_events_can_always_come_back(stage: Stage) -> None:
    await stage.serve(session={"ledger_max_bytes": SessionSettings().ledger_max_bytes})
    client = await stage.opted_in()
    for number in range(3):
        await client.turn(pcm(20.0, number))
    acknowledged = 0
    while client.kinds.count("transcription.done") < 3:
        await client.event()
        if client.seq - acknowledged == 32:
            client.wire.abort()
            await stage.bring_back(client, seq=acknowledged)
            while client.seq < acknowledged + 32:
                await client.event()
            await client.acknowledge()
            acknowledged = client.seq
    assert client.seq > 3 * 32


@requirement("cursor")
async def test_the_cursor_counts_all_audio_since_the_session_began(stage: Stage) -> None:
    wire = await stage.connect()
    await wire.expect("session.created")
    await wire.send("input_audio_buffer.append", audio=encoded(pcm(0.75)))
    await wire.send("session.update", model="", parley={"resume": True})
    await wire.expect("session.updated")
    await wire.send("input_audio_buffer.append", audio=encoded(pcm(0.5)))
    await wire.send("input_audio_buffer.commit", final=True)
    assert (await wire.expect("session.ack"))["cursor_ms"] == 1_250
    await wire.send("input_audio_buffer.append", audio=encoded(pcm(0.25)))
    await wire.send("input_audio_buffer.commit")
    assert (await wire.expect("session.ack"))["cursor_ms"] == 1_500


@requirement("positions")
async def test_positions_are_on_the_clock_of_the_cursor(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    await client.start()
    for piece in pieces(AUDIO[:48_000]):
        await client.append(piece)
    leg = await stage.leg()
    await leg.until_samples(24_000, turn=1)
    await leg.until_read()
    leg.abort()
    recovered = await client.until("session.recovered")
    (interval,) = recovered["replayed_ms"]
    assert interval == [2_000, 3_500]
