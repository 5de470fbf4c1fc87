"""A leg on a vLLM server: how it opens, what it says and hears."""

import asyncio
from collections.abc import Callable

import pytest

from parley.core import events as ev
from parley.upstream.vllm import VllmOptions
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import MODEL, FakeConnection, FakeVllm
from tests.support.legs import OpenLeg, Sink, audio, failure, opened
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import steps_of, transcript
from tests.support.waiting import BOUND_S, bounded

# ---- opening


async def test_a_leg_names_the_model_and_says_nothing_else(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, sink = await opened(open_leg, vllm)
    await connection.until_received(f"session.update {MODEL}")
    assert connection.received == [f"session.update {MODEL}"]
    assert sink.events == []


async def test_a_leg_offers_no_compression_and_no_key_that_it_has_not(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, _ = await opened(open_leg, vllm)
    assert connection.request is not None
    assert "Sec-WebSocket-Extensions" not in connection.request.headers
    assert "Authorization" not in connection.request.headers


async def test_a_leg_shows_its_key_as_a_bearer_token(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    await bounded("the leg opens", open_leg(api_key="secret"))
    request = (await vllm.session()).request
    assert request is not None
    assert request.headers["Authorization"] == "Bearer secret"


def test_the_key_is_in_no_repr() -> None:
    assert "secret" not in repr(VllmOptions(url="ws://127.0.0.1:1", api_key="secret"))


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (401, "upstream-unavailable", "upstream.api_key_file"),
        (403, "upstream-unavailable", "realtime route"),
        (404, "upstream-unavailable", "upstream.url"),
        (429, "at-capacity", "no further stream"),
        (500, "upstream-unavailable", "HTTP 500"),
        (502, "upstream-unavailable", "HTTP 502"),
        (503, "at-capacity", "no further stream"),
    ],
)
async def test_a_refused_handshake_says_what_to_look_at(
    open_leg: OpenLeg, vllm: FakeVllm, status: int, code: str, hint: str
) -> None:
    vllm.refuses_with = status
    error = await failure(open_leg())
    assert error.code == code
    assert hint in error.message


async def test_a_refusal_for_want_of_room_says_when_to_retry(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    vllm.refuses_with = 503
    assert (await failure(open_leg())).retry_after_s == 2.0


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 Strange\r\n\r\n",
        b"\xff" * 20_000,
    ],
    ids=["another protocol", "no proof of the upgrade", "a page", "a redirect", "no status", "garbage"],
)
async def test_an_answer_that_is_no_handshake_is_reported_at_once(
    open_leg: OpenLeg, vllm: FakeVllm, answer: bytes
) -> None:
    vllm.answers_with = answer
    assert (await failure(open_leg(connect_timeout_s=BOUND_S * 2))).code == "upstream-unavailable"
    await vllm.until_idle()


async def test_a_server_that_hangs_up_during_the_handshake_is_reported_at_once(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    vllm.hangs_up = True
    assert (await failure(open_leg(connect_timeout_s=BOUND_S * 2))).code == "upstream-unavailable"


async def test_a_port_where_nobody_listens_is_reported_with_the_systems_words(
    open_leg: OpenLeg, vllm: FakeVllm, unused_tcp_port: int
) -> None:
    error = await failure(open_leg(url=f"ws://127.0.0.1:{unused_tcp_port}/v1/realtime"))
    assert error.code == "upstream-unavailable"
    assert "Connection refused" in error.message


async def test_a_handshake_that_is_not_answered_times_out_and_is_given_up(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    vllm.holds_handshakes = True
    error = await failure(open_leg(connect_timeout_s=0.05))
    assert error.code == "upstream-unavailable"
    assert "0.05 s" in error.message
    await (await vllm.session()).until_lost()


async def test_a_server_that_does_not_greet_times_out_and_is_given_up(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    vllm.greets = False
    error = await failure(open_leg(connect_timeout_s=0.05))
    assert error.code == "upstream-unavailable"
    await (await vllm.session()).until_lost()


async def test_a_leg_that_is_not_wanted_any_more_is_given_up_during_the_handshake(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    vllm.holds_handshakes = True
    task = open_leg(connect_timeout_s=0.1)
    connection = await vllm.session()
    task.cancel()
    await asyncio.wait([task])
    await connection.until_lost()


async def test_a_handshake_that_is_answered_too_late_leaves_no_connection_behind(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    vllm.holds_handshakes = True
    task = open_leg(connect_timeout_s=BOUND_S * 2)
    connection = await vllm.session()
    for _ in range(10):
        # The request is on its way before the opener waits for its answer.
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    connection.answer_handshake()
    await connection.until_lost()


@pytest.mark.parametrize(
    ("speak", "code"),
    [
        (lambda connection: connection.send_binary(b"{}"), "upstream-protocol"),
        (lambda connection: connection.send("hello"), "upstream-protocol"),
        (lambda connection: connection.send_event("error", error="no room", code=None), "upstream-error"),
        (lambda connection: connection.close(1012), "upstream-closed"),
        (lambda connection: connection.abort(), "upstream-closed"),
        (lambda connection: connection.send_raw(b"\xff" * 16), "upstream-protocol"),
    ],
    ids=["a binary frame", "no JSON", "an error", "a close frame", "the end", "no frame"],
)
async def test_what_comes_instead_of_a_greeting_is_reported_at_once_and_the_leg_is_closed(
    open_leg: OpenLeg, vllm: FakeVllm, log: LogWatch, speak: Callable[[FakeConnection], None], code: str
) -> None:
    log.expect_errors("picows.client")
    vllm.greets = False
    task = open_leg(connect_timeout_s=BOUND_S * 2)
    connection = await vllm.session()
    await vllm.changes.until("the handshake is done", lambda: connection.request is not None)
    speak(connection)
    assert (await failure(task)).code == code
    await connection.until_lost()


# ---- a turn


async def test_a_turn_goes_out_and_its_text_comes_back(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    leg.start_turn()
    for piece in audio(1.0):
        leg.send_audio(piece)
    leg.end_turn()
    done = await sink.until(ev.TurnTranscribed)
    assert connection.turns == [pcm(1.0)]
    assert sink.text == done.text.decode() == transcript(16_000)
    assert len(sink.of(ev.DeltaReceived)) == done.usage.completion_tokens == steps_of(16_000)
    assert {event.leg for event in sink.of(ev.DeltaReceived)} | {
        event.leg for event in sink.of(ev.TurnTranscribed)
    } == {7}


async def test_text_beyond_ascii_comes_back_as_it_was_said(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    said = ' "Grüße"\n\\ 日本 \U0001f600 \x7f\x1b'
    vllm.speech = lambda _turn, step: said if step == 0 else ""
    leg, _, sink = await opened(open_leg, vllm)
    leg.start_turn()
    leg.send_audio(audio(0.1)[0])
    leg.end_turn()
    assert (await sink.until(ev.TurnTranscribed)).text.decode() == said
    assert sink.text == said


async def test_fragments_are_joined_to_one_message(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, sink = await opened(open_leg, vllm)
    connection.send_fragments(b'{"type":"transcr', b"", 'iption.delta","delta":" é'.encode()[:-1], b'\xa9"', b"}")
    assert (await sink.until(ev.DeltaReceived)).text.decode() == " é"


async def test_pings_are_answered_while_idle(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, _ = await opened(open_leg, vllm)
    connection.ping(b"are you there")
    await connection.until_pong()
    assert connection.pongs == [b"are you there"]


async def test_a_silent_server_is_pinged_and_given_up_when_it_does_not_answer(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    sink = Sink()
    await bounded("the leg opens", open_leg(sink, ping_interval_s=0.05, ping_timeout_s=0.05))
    connection = await vllm.session()
    connection.stop_reading()
    failed = await sink.until(ev.LegFailed)
    assert failed.error.code == "upstream-closed"
    assert "ping" in failed.error.message
    connection.read_again()


async def test_a_silent_server_that_answers_pings_is_kept(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    sink = Sink()
    await bounded("the leg opens", open_leg(sink, ping_interval_s=0.2, ping_timeout_s=0.2))
    connection = await vllm.session()
    await vllm.changes.until("three pings", lambda: connection.pings >= 3)
    assert sink.events == []


async def test_a_server_that_does_not_read_is_reported_and_so_is_that_it_reads_again(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    connection.stop_reading()
    leg.start_turn()
    sent = 0
    piece = encode_audio(pcm(10.0))
    # Past the buffers of both kernels, whatever their size.
    while not sink.of(ev.LegBlocked) and sent < 200:
        leg.send_audio(piece)
        sent += 1
    assert sink.of(ev.LegBlocked) == [ev.LegBlocked(7)]
    connection.read_again()
    await sink.until(ev.LegUnblocked)
    await connection.until_received("append", sent)


async def test_the_handshake_tells_of_the_trace_that_a_leg_is_part_of(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    sink = Sink()
    sink.headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    await bounded("the leg opens", open_leg(sink, api_key="secret"))
    request = (await vllm.session()).request
    assert request is not None
    assert request.headers["traceparent"] == sink.headers["traceparent"]
    assert request.headers["Authorization"] == "Bearer secret"
