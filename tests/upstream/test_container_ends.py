"""A WebSocket to a container: every way in which it ends."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.logs import LogWatch
from tests.support.raw import BINARY, CLOSE, CONTINUATION, TEXT, frame
from tests.support.waiting import bounded
from tests.upstream.containers import Part, RawConnection, RawContainer, Stage, opened, staging

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])

QUICK_S = 0.02


@pytest.fixture
async def container(log: LogWatch) -> AsyncIterator[RawContainer]:
    async with RawContainer() as one:
        yield one


@pytest.fixture
async def stage(container: RawContainer) -> AsyncIterator[Stage]:
    async with staging() as one:
        yield one


def served(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """A frame of a server."""
    return frame(opcode, payload, is_last=is_last, is_masked=False)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4404, 4999])
async def test_the_code_and_the_reason_of_a_close_frame_are_reported(
    container: RawContainer, stage: Stage, code: int
) -> None:
    _, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    connection.send(b"last words")
    connection.send_raw(served(CLOSE, struct.pack("!H", code) + "voilà".encode()))
    assert await sink.until_ended() == (code, "voilà")
    assert sink.parts == [Part(b"last words")]
    assert await connection.until_closed() == code
    await connection.until_lost()


async def test_a_close_frame_without_a_code_is_reported_as_such(container: RawContainer, stage: Stage) -> None:
    _, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    connection.send_raw(served(CLOSE))
    assert await sink.until_ended() == (1005, "")
    await connection.until_lost()


@pytest.mark.parametrize(
    "fault",
    [RawConnection.abort, RawConnection.end_tcp, lambda one: one.send_raw(b"\x81\x7f") or one.abort()],
    ids=["reset", "FIN", "in a frame"],
)
async def test_a_connection_lost_without_a_close_frame_has_no_code(
    container: RawContainer, stage: Stage, fault: Callable[[RawConnection], None]
) -> None:
    _, sink = await opened(await stage.upstream(container.url))
    fault(await container.stream())
    assert await sink.until_ended() == (None, "")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"\xff" * 16, "no WebSocket frame"),
        (served(BINARY, b"x" * 5_000), "more than 4096 bytes"),
        (frame(TEXT, b"masked"), "no WebSocket frame"),
        (served(CLOSE, struct.pack("!H", 1004)), "no WebSocket frame"),
        (served(CLOSE, b"\x03"), "no WebSocket frame"),
        (served(CLOSE, struct.pack("!H", 1000) + b"\xff"), "no WebSocket frame"),
        (served(CONTINUATION, b"of nothing"), "went on with one"),
        (served(TEXT, b"a", is_last=False) + served(TEXT, b"b"), "within another"),
        (b"\xc1" + served(TEXT, b"deflated")[1:], "compressed"),
    ],
    ids=[
        "garbage",
        "a large frame",
        "a mask",
        "a reserved code",
        "half a code",
        "a reason that is not UTF-8",
        "a continuation of nothing",
        "a message within a message",
        "an extension's bit",
    ],
)
async def test_a_container_that_breaks_the_protocol_is_told_apart_and_disconnected(
    container: RawContainer, stage: Stage, log: LogWatch, sent: bytes, seen: str
) -> None:
    # picows reports what it finds itself as an error of its own; here it is one of the container.
    log.expect_errors("picows.client")
    socket, sink = await opened(await stage.upstream(container.url, frame_max_bytes=4_096))
    connection = await container.stream()
    connection.send_raw(sent)
    code, reason = await sink.until_ended()
    assert code is None
    assert seen in reason
    socket.send_frame(b"too late", is_text=True, is_last=True)
    await connection.until_lost()
    assert connection.close_code in (1002, 1007, 1009)


async def test_what_a_container_said_is_in_no_log(container: RawContainer, stage: Stage, log: LogWatch) -> None:
    log.expect_errors("picows.client")
    log.include_libraries()
    _, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    connection.send(b"zzgeheimnis")
    connection.send_raw(served(CLOSE, struct.pack("!H", 1011) + b"zzgeheimnis"))
    await sink.until_ended()
    assert "zzgeheimnis" not in log.everything


async def test_closing_says_so_and_hears_nothing_any_more(container: RawContainer, stage: Stage) -> None:
    socket, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    socket.close(1000, "done")
    connection.send_raw(served(TEXT, b"late"))
    assert await connection.until_closed() == 1000
    assert connection.close_reason == "done"
    await connection.until_lost()
    assert (sink.parts, sink.ended) == ([], [])


async def test_closing_twice_is_closing(container: RawContainer, stage: Stage) -> None:
    socket, _ = await opened(await stage.upstream(container.url))
    socket.close(1000)
    socket.close(1011)
    connection = await container.stream()
    assert await connection.until_closed() == 1000
    socket.close(1011)
    socket.pause_reading()
    socket.send_frame(b"late", is_text=True, is_last=True)
    await connection.until_lost()
    assert connection.parts == []


async def test_a_reason_that_is_too_long_is_cut_between_characters(container: RawContainer, stage: Stage) -> None:
    socket, _ = await opened(await stage.upstream(container.url))
    socket.close(1011, "ü" * 100)
    connection = await container.stream()
    await connection.until_closed()
    assert connection.close_reason == "ü" * 61


async def test_a_container_that_is_not_read_can_be_closed(container: RawContainer, stage: Stage) -> None:
    # The bound is an hour: it is the container's answer that ends it.
    socket, _ = await opened(await stage.upstream(container.url, close_timeout_s=3600.0))
    connection = await container.stream()
    socket.pause_reading()
    connection.send(b"x" * 100_000, is_text=False)
    socket.close(1000)
    await connection.until_lost()


async def test_a_container_that_does_not_answer_a_close_frame_is_cut_off(container: RawContainer, stage: Stage) -> None:
    upstream = await stage.upstream(container.url, close_timeout_s=QUICK_S)
    socket, _ = await opened(upstream)
    connection = await container.stream()
    connection.stop_reading()
    socket.close(1000)
    connection.send(b"is it there?")
    await bounded("it is cut off", upstream.until_idle())
    connection.read_again()
    await connection.until_lost()


async def test_a_container_that_reads_nothing_is_cut_off_after_its_own_close_frame(
    container: RawContainer, stage: Stage
) -> None:
    upstream = await stage.upstream(container.url, close_timeout_s=QUICK_S, write_buffer_max_bytes=1_024)
    socket, sink = await opened(upstream)
    connection = await container.stream()
    connection.stop_reading()
    while not sink.blocked:
        socket.send_frame(b"x" * 50_000, is_text=False, is_last=True)
    connection.send_raw(served(CLOSE, struct.pack("!H", 1011)))
    assert await sink.until_ended() == (1011, "")
    await bounded("it is cut off", upstream.until_idle())


async def test_closing_the_upstream_closes_every_stream_with_1001(container: RawContainer, stage: Stage) -> None:
    upstream = await stage.upstream(container.url)
    sinks = [(await opened(upstream))[1] for _ in range(3)]
    await upstream.close()
    assert upstream.streams == 0
    for number in range(3):
        assert (await container.stream(number)).close_code == 1001
    # It was nobody's Close frame that ended them, and still they are told.
    assert [sink.ended for sink in sinks] == [[(None, "Parley is going away.")]] * 3


async def test_closing_the_upstream_says_nothing_to_those_who_have_closed(
    container: RawContainer, stage: Stage
) -> None:
    upstream = await stage.upstream(container.url)
    socket, sink = await opened(upstream)
    socket.close(1000)
    await upstream.close()
    assert (await container.stream()).close_code == 1000
    assert sink.ended == []


async def test_a_container_that_answers_nothing_delays_the_end_by_its_bound_alone(
    container: RawContainer, stage: Stage
) -> None:
    upstream = await stage.upstream(container.url, close_timeout_s=QUICK_S)
    await opened(upstream)
    (await container.stream()).stop_reading()
    await upstream.close()
    assert upstream.streams == 0


async def test_a_container_that_floods_an_ended_stream_is_cut_off(container: RawContainer, stage: Stage) -> None:
    socket, sink = await opened(await stage.upstream(container.url, close_timeout_s=QUICK_S))
    connection = await container.stream()
    connection.stop_reading()
    socket.close(1000)
    while not connection.is_lost:
        connection.send_raw(served(BINARY, b"x" * 10_000))
        await asyncio.sleep(0)
    assert sink.parts == []
