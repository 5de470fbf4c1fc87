"""A leg on a vLLM server: every way in which it ends."""

import asyncio
from collections.abc import Callable

import pytest

from parley.core import events as ev
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import MODEL, FakeConnection, FakeVllm
from tests.support.legs import OpenLeg, audio, opened
from tests.support.logs import LogWatch
from tests.support.sound import pcm


@pytest.mark.parametrize(
    ("fault", "code", "detail"),
    [
        (lambda connection: connection.abort(), "upstream-closed", "no close frame"),
        (lambda connection: connection.close(1000), "upstream-closed", "1000"),
        (lambda connection: connection.close(1011), "upstream-closed", "1011"),
        (lambda connection: connection.close(1012), "upstream-closed", "1012"),
        (lambda connection: connection.close(4321), "upstream-closed", "4321"),
        (lambda connection: connection.close(), "upstream-closed", "close code"),
        (lambda connection: connection.send_raw(b"\xff" * 16), "upstream-protocol", ""),
        (lambda connection: connection.send("hello"), "upstream-protocol", ""),
        (lambda connection: connection.send("[]"), "upstream-protocol", ""),
        (lambda connection: connection.send(b'{"type":"\xff"}'), "upstream-protocol", ""),
        (lambda connection: connection.send_event("session.updated"), "upstream-protocol", ""),
        (lambda connection: connection.send_event("transcription.delta"), "upstream-protocol", ""),
        (lambda connection: connection.send_event("transcription.delta", delta=7), "upstream-protocol", ""),
        (lambda connection: connection.send_event("transcription.done"), "upstream-protocol", ""),
        (lambda connection: connection.send_binary(b"{}"), "upstream-protocol", "binary"),
        (lambda connection: connection.send("x" * 4_194_305), "upstream-protocol", ""),
        (lambda connection: connection.send_fragments(*[b"x" * 2**20] * 5), "upstream-protocol", ""),
        (
            lambda connection: connection.send_event("error", error="dead", code="processing_error"),
            "upstream-error",
            "processing_error",
        ),
        (lambda connection: connection.send_event("error", error="dead", code="7" * 9), "upstream-error", "none of"),
        (lambda connection: connection.send_event("error", error="dead"), "upstream-error", "not given"),
    ],
    ids=[
        "broken off",
        "closed 1000",
        "closed 1011",
        "closed 1012",
        "closed by a code of its own",
        "closed without a code",
        "no frame",
        "no JSON",
        "no object",
        "no UTF-8",
        "an unknown event",
        "a delta without text",
        "a delta that is no text",
        "done without text",
        "a binary frame",
        "a frame without end",
        "fragments without end",
        "an error",
        "an error with a code of its own",
        "an error without a code",
    ],
)
async def test_every_fault_of_the_server_is_a_failure_of_the_leg(
    open_leg: OpenLeg,
    vllm: FakeVllm,
    log: LogWatch,
    fault: Callable[[FakeConnection], None],
    code: str,
    detail: str,
) -> None:
    # picows reports what breaks WebSocket as an error of its own; here it is one of the model server.
    log.expect_errors("picows.client")
    leg, connection, sink = await opened(open_leg, vllm)
    leg.start_turn()
    fault(connection)
    failed = await sink.until(ev.LegFailed)
    assert (failed.leg, failed.error.code) == (7, code)
    assert detail in failed.error.message
    assert sink.of(ev.TurnTranscribed) == []
    leg.close()
    await connection.until_lost()


async def test_a_server_that_dies_with_its_last_words_unread_is_noticed(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    leg.start_turn()
    for piece in audio(2.0):
        leg.send_audio(piece)
    await connection.until_samples(32_000)
    connection.send_event("transcription.delta", delta=" last words")
    connection.abort()
    # The server's end is closed in this turn of the loop, before the leg has read; what it sends then is answered with
    # a reset, and from then on there is an error and unread data at once.
    await asyncio.sleep(0)
    leg.end_turn()
    assert (await sink.until(ev.LegFailed)).error.code == "upstream-closed"


async def test_the_servers_own_words_are_in_no_error(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, sink = await opened(open_leg, vllm)
    connection.send_event("error", error="cannot decode 'my secret words'", code="processing_error")
    error = (await sink.until(ev.LegFailed)).error
    assert "secret words" not in repr(error) + str(error) + error.message


async def test_a_close_frame_is_answered(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    _, connection, sink = await opened(open_leg, vllm)
    connection.close(1012)
    await sink.until(ev.LegFailed)
    await connection.until_lost()
    assert connection.close_code is not None


async def test_closing_a_leg_says_goodbye_and_ends_the_connection(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    leg.close()
    await connection.until_lost()
    assert connection.close_code == 1000
    assert sink.events == []


async def test_a_closed_leg_reports_nothing_and_sends_nothing(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    await connection.until_received(f"session.update {MODEL}")
    leg.close()
    leg.start_turn()
    leg.send_audio(audio(0.1)[0])
    leg.end_turn()
    leg.close()
    connection.send_event("transcription.delta", delta=" late")
    await connection.until_lost()
    assert connection.received == [f"session.update {MODEL}"]
    assert sink.events == []


async def test_a_leg_to_a_server_that_does_not_read_is_closed_without_waiting_for_it(
    open_leg: OpenLeg, vllm: FakeVllm
) -> None:
    leg, connection, sink = await opened(open_leg, vllm)
    connection.stop_reading()
    leg.start_turn()
    sent = 0
    piece = encode_audio(pcm(10.0))
    while not sink.of(ev.LegBlocked) and sent < 200:
        leg.send_audio(piece)
        sent += 1
    leg.close()
    # Turns of the loop in which the connection ends; what had not left yet would otherwise follow now.
    for _ in range(10):
        await asyncio.sleep(0)
    connection.read_again()
    await connection.until_lost()
    assert connection.counts["append"] < sent
