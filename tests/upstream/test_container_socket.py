"""A WebSocket to a container: its frames as they are, both ways, its pings, and its backpressure."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator

import pytest

from tests.support.logs import LogWatch
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from tests.upstream.containers import Part, RawContainer, Sink, Stage, echoing, opened, staging

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])

QUICK_S = 0.02


@pytest.fixture
async def container(log: LogWatch) -> AsyncIterator[RawContainer]:
    async with RawContainer() as one:
        yield one


@pytest.fixture
async def stage(container: RawContainer) -> AsyncIterator[Stage]:
    # After the container: what is open is closed while it is there.
    async with staging() as one:
        yield one


def served(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """A frame of a server."""
    return frame(opcode, payload, is_last=is_last, is_masked=False)


@pytest.mark.parametrize(
    "part",
    [
        Part(b'{"type":"x"}'),
        Part(b"\x00\xff\x00", is_text=False),
        Part(b""),
        Part(b"", is_text=False),
        Part(b"x" * 125, is_text=False),
        Part(b"x" * 126, is_text=False),
        Part(b"x" * 65_536, is_text=False),
        Part(b"x" * 1_000_000),
        Part("grün ".encode() * 5_000),
    ],
    ids=["text", "binary", "empty text", "empty binary", "125", "126", "64 KiB", "1 MB", "not ASCII"],
)
async def test_a_message_comes_back_from_an_echo_as_it_went(log: LogWatch, part: Part) -> None:
    async with echoing() as url, staging() as stage:
        socket, sink = await opened(await stage.upstream(url))
        socket.send_frame(part.data, is_text=part.is_text, is_last=part.is_last)
        assert await sink.until_parts(1) == [part]


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
async def test_fragments_go_and_come_back_as_fragments(log: LogWatch, is_text: bool) -> None:
    async with echoing() as url, staging() as stage:
        socket, sink = await opened(await stage.upstream(url))
        for data, is_last in ((b"one", False), (b"two", False), (b"three", True)):
            socket.send_frame(data, is_text=is_text, is_last=is_last)
        parts = await sink.until_parts(4)
        assert [(part.data, part.is_last) for part in parts] == [
            (b"one", False),
            (b"two", False),
            (b"three", False),
            # The library of the echo ends a fragmented message with an empty frame, and it comes as one.
            (b"", True),
        ]
        assert {part.is_text for part in parts} == {is_text}


async def test_parts_are_neither_joined_nor_cut_on_their_way_to_the_container(
    container: RawContainer, stage: Stage
) -> None:
    socket, _ = await opened(await stage.upstream(container.url))
    sent = [
        Part(b"a" * 70_000, is_last=False),
        Part(b"", is_last=False),
        Part(b"b"),
        Part(b"c", is_text=False),
        Part(b"d", is_text=False, is_last=False),
        Part(b"", is_text=False),
        *[Part(b"%d" % number) for number in range(100)],
    ]
    for part in sent:
        socket.send_frame(part.data, is_text=part.is_text, is_last=part.is_last)
    assert await (await container.stream()).until_parts(len(sent)) == sent


async def test_a_continuation_keeps_the_kind_of_the_first_frame(container: RawContainer, stage: Stage) -> None:
    socket, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    socket.send_frame(b"1", is_text=True, is_last=False)
    # What a part without a data type is called.
    socket.send_frame(b"2", is_text=False, is_last=True)
    assert await connection.until_parts(2) == [Part(b"1", is_last=False), Part(b"2")]
    connection.send_raw(served(BINARY, b"3", is_last=False) + served(CONTINUATION, b"4"))
    assert await sink.until_parts(2) == [Part(b"3", is_text=False, is_last=False), Part(b"4", is_text=False)]


async def test_pings_between_fragments_are_answered_and_disturb_nothing(container: RawContainer, stage: Stage) -> None:
    _, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    connection.send_raw(
        served(TEXT, b"a", is_last=False) + served(PING, b"one") + served(CONTINUATION, b"b") + served(PING, b"two")
    )
    assert await sink.until_parts(2) == [Part(b"a", is_last=False), Part(b"b")]
    assert await connection.until_pongs(2) == [b"one", b"two"]


async def test_what_comes_with_the_handshake_is_heard_after_the_stream_is_open(
    container: RawContainer, stage: Stage
) -> None:
    container.says_first = served(TEXT, b"hello") + served(CLOSE, struct.pack("!H", 1013) + b"full")
    upstream = await stage.upstream(container.url)
    sink = Sink()
    await upstream.open("", "", "id", sink)
    assert (sink.parts, sink.ended) == ([], [])
    assert await sink.until_ended() == (1013, "full")
    assert sink.parts == [Part(b"hello")]


async def test_a_stream_that_is_paused_as_soon_as_it_is_open_hears_only_what_came_with_the_handshake(
    container: RawContainer, stage: Stage
) -> None:
    container.says_first = served(TEXT, b"hello")
    upstream = await stage.upstream(container.url)
    sink = Sink()
    socket = await upstream.open("", "", "id", sink)
    socket.pause_reading()
    connection = await container.stream()
    connection.send(b"more")
    # Its answer comes on another connection, when there was time enough.
    await opened(upstream)
    assert sink.parts == [Part(b"hello")]
    socket.resume_reading()
    assert await sink.until_parts(2) == [Part(b"hello"), Part(b"more")]


async def test_what_a_container_says_before_it_closes_is_heard_however_late_it_is_read(
    container: RawContainer, stage: Stage
) -> None:
    socket, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    socket.pause_reading()
    connection.send(b"the last")
    connection.send(b"words")
    connection.close(1000, "done")
    connection.end_tcp()
    await connection.until_lost()
    socket.resume_reading()
    assert await sink.until_ended() == (1000, "done")
    assert sink.parts == [Part(b"the last"), Part(b"words")]


@pytest.mark.parametrize("seed", range(4))
async def test_any_frames_in_any_pieces_arrive_as_they_were_both_ways(
    container: RawContainer, stage: Stage, seed: int
) -> None:
    socket, sink = await opened(await stage.upstream(container.url))
    connection = await container.stream()
    choice = random.Random(seed)
    said, bytes_out, pings = [], bytearray(), []
    is_open, is_text = False, True
    for number in range(300):
        if choice.random() < 0.2:
            pings.append(b"%d" % number)
            bytes_out += served(PING, pings[-1])
        opcode = CONTINUATION if is_open else choice.choice((TEXT, BINARY))
        is_text = is_text if is_open else opcode == TEXT
        is_open = number < 299 and choice.random() < 0.4
        size = choice.choice((0, 1, 125, 126, 127, 300, 5_000, 65_535, 65_536, 70_000))
        said.append(Part(b"x" * size, is_text, not is_open))
        bytes_out += served(opcode, said[-1].data, is_last=not is_open)
    at = 0
    while at < len(bytes_out):
        size = choice.choice((1, 2, 3, 100, 4_096, 65_536, 500_000))
        connection.send_raw(bytes(bytes_out[at : at + size]))
        at += size
        # Lets this piece be read, on the same loop, before the next.
        await asyncio.sleep(0)
    assert await sink.until_parts(len(said)) == said
    assert await connection.until_pongs(len(pings)) == pings
    for part in said:
        socket.send_frame(part.data, is_text=part.is_text, is_last=part.is_last)
    assert await connection.until_parts(len(said)) == said


async def test_a_sink_that_closes_at_the_first_frame_hears_no_other(container: RawContainer, stage: Stage) -> None:
    class Closing(Sink):
        def frame_received(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
            super().frame_received(data, is_text=is_text, is_last=is_last)
            socket.close(1000)

    container.says_first = served(TEXT, b"one") + served(TEXT, b"two")
    socket, sink = await opened(await stage.upstream(container.url), Closing())
    await (await container.stream()).until_lost()
    assert sink.parts == [Part(b"one")]


async def test_a_container_that_is_not_read_is_held_back_and_nothing_is_lost(
    container: RawContainer, stage: Stage
) -> None:
    socket, sink = await opened(await stage.upstream(container.url, receive_buffer_bytes=4_096))
    connection = await container.stream()
    socket.pause_reading()
    piece = b"x" * 50_000
    count = 0
    # The kernels hold some; once they are full, it waits in the container.
    while not connection.unsent_bytes and count < 2_000:
        connection.send(piece, is_text=False)
        count += 1
    assert connection.unsent_bytes
    before = len(sink.parts)
    socket.send_frame(b"still", is_text=True, is_last=True)
    await connection.until_parts(1)
    assert len(sink.parts) == before
    socket.resume_reading()
    assert await sink.until_parts(count) == [Part(piece, is_text=False)] * count


async def test_a_container_that_does_not_read_is_felt_and_gets_everything_later(
    container: RawContainer, stage: Stage
) -> None:
    socket, sink = await opened(await stage.upstream(container.url, write_buffer_max_bytes=1_024))
    connection = await container.stream()
    connection.stop_reading()
    piece = b"x" * 50_000
    count = 0
    while not sink.blocked and count < 2_000:
        socket.send_frame(piece, is_text=False, is_last=True)
        count += 1
    await sink.until_blocked(True)
    connection.read_again()
    assert await connection.until_parts(count) == [Part(piece, is_text=False)] * count
    await sink.until_blocked(True, False)


async def test_of_the_pings_of_a_container_that_does_not_read_the_last_is_answered_later(
    container: RawContainer, stage: Stage
) -> None:
    socket, sink = await opened(await stage.upstream(container.url, write_buffer_max_bytes=1_024))
    connection = await container.stream()
    connection.stop_reading()
    while not sink.blocked:
        socket.send_frame(b"x" * 50_000, is_text=False, is_last=True)
    for number in range(50):
        connection.ping(b"%d" % number)
    connection.send(b"behind them")
    await sink.until_parts(1)
    connection.read_again()
    assert await connection.until_pongs(1) == [b"49"]


async def test_it_is_pinged_at_the_interval(container: RawContainer, stage: Stage) -> None:
    _, sink = await opened(await stage.upstream(container.url, ping_interval_s=QUICK_S))
    # More than may stay unanswered: each answer counts.
    await (await container.stream()).until_pings(8)
    assert sink.ended == []


async def test_a_container_that_leaves_five_pings_in_a_row_unanswered_is_given_up(
    container: RawContainer, stage: Stage
) -> None:
    container.answers_pings = False
    _, sink = await opened(await stage.upstream(container.url, ping_interval_s=QUICK_S))
    connection = await container.stream()
    code, seen = await sink.until_ended()
    assert code is None
    assert "5 pings" in seen
    await connection.until_lost()
    assert len(connection.pings) == 5
    assert connection.close_code == 1001


async def test_an_answer_within_five_pings_is_enough(container: RawContainer, stage: Stage) -> None:
    container.answers_pings = False
    # Less quick: the answer has to be there two intervals later.
    _, sink = await opened(await stage.upstream(container.url, ping_interval_s=5 * QUICK_S))
    connection = await container.stream()
    for count in (4, 8):
        await connection.until_pings(count)
        connection.send_raw(served(10, b""))
    assert sink.ended == []


async def test_a_container_that_is_not_read_is_not_given_up_for_its_silence(
    container: RawContainer, stage: Stage
) -> None:
    paused, sink = await opened(await stage.upstream(container.url, ping_interval_s=QUICK_S, pings_unanswered_max=1))
    paused.pause_reading()
    # Another one tells when time has passed.
    await opened(await stage.upstream(container.url, ping_interval_s=QUICK_S))
    await (await container.stream(1)).until_pings(5)
    assert sink.ended == []
    assert len((await container.stream()).pings) <= 1
    paused.resume_reading()
    await (await container.stream()).until_pings(1)
