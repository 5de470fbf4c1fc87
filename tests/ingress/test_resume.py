"""Sessions that outlive their connections: over real sockets, through the whole gateway."""

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.raw import TEXT as TEXT_FRAME
from tests.support.raw import frame
from tests.support.resuming import REALTIME, SAGEMAKER, claim, opted_in
from tests.support.sound import pcm, pieces
from tests.support.voxtral import transcript

COMES_BACK = f"{REALTIME}?resume=1"
AUDIO = pcm(2.0)
TEXT = transcript(32_000)
WHO: dict[str, Any] = {"additional_headers": {"Authorization": "Bearer zzgeheimnis"}}

# ---- the opt-in


async def test_an_opt_in_is_answered_with_a_token_and_the_window(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    assert session.window_s == gateway.settings.session.resume_window_s
    assert len(session.token) == 46


async def test_after_the_opt_in_every_event_is_numbered_and_names_its_turn(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    for _ in range(2):
        await session.client.send_turn(AUDIO)
        await session.until("transcription.done")
    assert session.texts == [TEXT, transcript(32_000, turn=1)]
    assert [event["item_id"] for event in session.seen if event["type"] == "transcription.done"] == ["item_1", "item_2"]
    assert [event["seq"] for event in session.seen] == list(range(1, len(session.seen) + 1))


async def test_input_is_acknowledged_by_message_however_it_is_cut(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.client.start()
    await session.client.append(AUDIO)
    await session.client.finish()
    await session.until_acked(3)
    assert (session.input_seq, session.cursor_ms) == (3, 2000)


async def test_a_client_that_does_not_opt_in_sees_nothing_of_it(gateway: RunningGateway) -> None:
    client = await gateway.open()
    await client.send_turn(AUDIO)
    *deltas, done = await client.until("transcription.done")
    assert all(list(event) == ["type", "delta"] for event in deltas)
    assert list(done) == ["type", "text", "usage"]


async def test_where_nothing_can_be_resumed_nothing_is_offered(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"resume_window_s": 0.0})
    socket = await gateway.raw()
    await socket.upgrade(COMES_BACK)
    assert set((await socket.frame()).event) == {"type", "id", "created"}


async def test_the_offer_is_all_that_a_plain_client_sees_beside_vllms_protocol(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    await socket.upgrade()
    assert list((await socket.frame()).event) == ["type", "id", "created", "parley"]


# ---- coming back


@pytest.mark.parametrize("path", [REALTIME, COMES_BACK, f"{SAGEMAKER}?resume=1", SAGEMAKER])
async def test_a_session_goes_on_without_loss_on_any_route(gateway: RunningGateway, vllm: FakeVllm, path: str) -> None:
    session = await opted_in(gateway)
    sent, unsent = list(pieces(AUDIO[:48_000])), list(pieces(AUDIO[48_000:]))
    await session.client.start()
    for piece in sent:
        await session.client.append(piece)
    await session.until("transcription.delta")
    session.client.abort()
    resumed = await session.come_back(gateway, path)
    assert (resumed["outcome"], resumed["replayed_ms"], resumed["lost"]) == ("resumed", [], [])
    assert resumed["id"] != session.client.session_id
    # What the server has not taken is sent again, from the number that it named.
    for piece in [*sent, *unsent][resumed["input_seq"] - 1 :]:
        await session.client.append(piece)
    await session.client.finish()
    await session.until("transcription.done")
    assert session.texts == [TEXT]
    assert [turn for one in vllm.sessions for turn in one.turns] == [AUDIO]


async def test_a_turn_that_ends_while_nobody_is_there_is_kept(gateway: RunningGateway, vllm: FakeVllm) -> None:
    vllm.runs = False
    session = await opted_in(gateway)
    await session.client.send_turn(AUDIO)
    await session.until_acked(2 + len(list(pieces(AUDIO))))
    leg = await vllm.session()
    await leg.until_received("end")
    session.client.abort()
    leg.release_model()
    resumed = await session.come_back(gateway)
    assert (resumed["outcome"], resumed["cursor_ms"]) == ("resumed", 2000)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


async def test_events_after_the_number_that_the_client_names_come_again(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    seen, session.seen = session.seen, session.seen[:2]
    session.client.abort()
    await session.come_back(gateway)
    while len(session.seen) < len(seen):
        await session.event()
    assert session.seen == seen


async def test_the_newest_connection_wins_and_the_older_one_is_told(gateway: RunningGateway, vllm: FakeVllm) -> None:
    session = await opted_in(gateway)
    older = session.client
    await session.come_back(gateway)
    ending = await older.until_closed()
    assert (ending.error_code, ending.code, ending.reason) == ("superseded", 4409, "superseded")
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


async def test_a_client_that_does_not_say_that_it_comes_back_leaves_nothing_behind(
    gateway: RunningGateway, vllm: FakeVllm, log: LogWatch
) -> None:
    session = await opted_in(gateway)
    await vllm.session()
    session.client.abort()
    await session.come_back(gateway, REALTIME)
    await vllm.changes.until("one leg is left", lambda: len(vllm.live) == 1)
    ended = [record.getMessage() for record in log.records if " ended: " in record.getMessage()]
    assert ended == []


async def test_the_token_is_in_no_log(gateway: RunningGateway, log: LogWatch) -> None:
    session = await opted_in(gateway, **WHO)
    session.client.abort()
    await session.come_back(gateway, **WHO)
    messages = " ".join(record.getMessage() for record in log.records)
    assert "resumed" in messages
    assert session.token not in messages
    assert "zzgeheimnis" not in messages


async def test_resuming_is_the_first_thing_that_a_connection_does(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.client.send("session.resume", token=session.token, seq=0)
    error = await session.event()
    assert error["parley"]["code"] == "invalid-event"
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")


async def test_a_token_is_shown_but_once_on_a_connection(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.come_back(gateway)
    await session.client.send("session.resume", token=session.token, seq=0)
    assert (await session.event())["parley"]["code"] == "invalid-event"


# ---- refusals


@pytest.mark.parametrize("token", ["", "A" * 43, "x" * 256])
async def test_an_unknown_token_is_refused(gateway: RunningGateway, token: str) -> None:
    ending = await claim(gateway, token)
    assert (ending.error_code, ending.code) == ("unknown-session", 4404)


async def test_a_token_that_is_none_is_an_invalid_event(gateway: RunningGateway) -> None:
    client = await gateway.connect(COMES_BACK)
    await client.send("session.resume", token="x" * 257, seq=0)
    assert await client.error() == "invalid-event"


async def test_a_session_that_ended_is_refused_as_expired(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.client.send("session.end")
    await session.until_closed()
    ending = await claim(gateway, session.token)
    assert (ending.error_code, ending.code) == ("expired", 4410)


async def test_a_session_whose_client_never_comes_back_ends(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session={"resume_window_s": 0.1})
    session = await opted_in(gateway)
    await vllm.session()
    session.client.abort()
    await vllm.until_idle()
    ending = await claim(gateway, session.token)
    assert ending.error_code in ("expired", "unknown-session")


async def test_a_number_that_was_never_sent_is_refused_and_the_session_goes_on(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    ending = await claim(gateway, session.token, seq=99)
    assert (ending.error_code, ending.code) == ("gap", 4416)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")


async def test_what_was_acknowledged_can_not_be_had_again(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    await session.client.send("session.ack", seq=session.seq)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.delta")
    assert (await claim(gateway, session.token, seq=0)).error_code == "gap"


@pytest.mark.parametrize("other", [{}, {"additional_headers": {"Authorization": "Bearer another"}}])
async def test_a_session_is_only_for_whoever_began_it(gateway: RunningGateway, other: dict[str, Any]) -> None:
    session = await opted_in(gateway, **WHO)
    ending = await claim(gateway, session.token, **other)
    assert (ending.error_code, ending.code) == ("wrong-principal", 4403)
    session.client.abort()
    await session.come_back(gateway, **WHO)


# ---- a full server


async def test_a_full_server_lets_its_sessions_come_back(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    session = await opted_in(gateway)
    session.client.abort()
    with pytest.raises(InvalidStatus) as caught:
        await gateway.connect()
    assert caught.value.response.status_code == 503
    await session.come_back(gateway)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


async def test_a_full_server_refuses_a_new_session_to_those_who_said_they_come_back(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    await opted_in(gateway)
    client = await gateway.connect(COMES_BACK)
    await client.name_model()
    ending = await client.until_closed()
    assert (ending.error_code, ending.code) == ("at-capacity", 1013)


async def test_a_client_that_changes_its_mind_gets_the_session_that_it_was_told_of(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    client = await gateway.connect(COMES_BACK)
    assert vllm.sessions == []
    await client.send("session.update", model="voxtral", parley={"resume": True})
    assert (await client.receive())["id"] == client.session_id
    await client.send_turn(AUDIO)
    await client.until("transcription.done")


async def test_a_client_that_begins_with_audio_loses_none_of_it(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.connect(COMES_BACK)
    await client.say(AUDIO)
    await client.name_model()
    await client.start()
    await client.finish()
    assert await client.result() == TEXT
    assert vllm.sessions[0].turns == [AUDIO]


# ---- the end


async def test_the_end_that_a_client_asks_for_is_the_last_event(gateway: RunningGateway, vllm: FakeVllm) -> None:
    session = await opted_in(gateway)
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    await session.client.send("session.end")
    ending = await session.until_closed()
    (ended,) = [event for event in ending.events if event["type"] != "session.ack"]
    assert (ended["type"], ended["reason"], ended["retry"], ending.code) == (
        "session.ended",
        "client-ended",
        "never",
        1000,
    )
    await vllm.until_idle()


async def test_a_plain_client_may_ask_for_the_end_too(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await vllm.session()
    await client.send("session.end")
    ending = await client.until_closed()
    assert (ending.events, ending.code) == ([], 1000)
    await vllm.until_idle()


async def test_a_drain_is_told_with_numbers_and_ends_detached_sessions_too(gateway: RunningGateway) -> None:
    session, away = await opted_in(gateway), await opted_in(gateway)
    away.client.abort()
    gateway.begin_stop()
    ending = await session.until_closed()
    assert [event["type"] for event in ending.events] == ["session.going_away", "error", "session.ended"]
    assert (ending.events[-1]["reason"], ending.code) == ("shutting-down", 1012)
    await gateway.until_stopped()


async def test_a_connection_that_waits_is_told_of_the_stop(gateway: RunningGateway) -> None:
    client = await gateway.connect(COMES_BACK)
    gateway.begin_stop()
    ending = await client.until_closed()
    assert (ending.error_code, ending.code) == ("shutting-down", 1012)
    await gateway.until_stopped()


async def test_what_is_cleared_and_cancelled_is_answered(gateway: RunningGateway, vllm: FakeVllm) -> None:
    vllm.runs = False
    session = await opted_in(gateway)
    await session.client.start()
    await session.client.append(AUDIO)
    await session.client.send("input_audio_buffer.clear")
    assert (await session.until("input_audio_buffer.cleared"))["item_id"] == "item_1"
    await session.client.send("transcription.cancel", item_id="item_2")
    assert (await session.until("transcription.cancelled"))["item_id"] == "item_2"


async def test_a_client_that_breaks_the_protocol_may_come_back(gateway: RunningGateway) -> None:
    session = await opted_in(gateway)
    # A message inside a fragmented one: RFC 6455 section 5.4.
    session.client.connection.transport.write(frame(TEXT_FRAME, b"{", is_last=False) + frame(TEXT_FRAME, b"{}"))
    ending = await session.client.until_closed()
    assert ending.error_code == "bad-request"
    await session.come_back(gateway)
