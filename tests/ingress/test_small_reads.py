import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from parley.ingress.small_reads import NARROW_BYTES, SERVER_OPTIONS, WIDE_BYTES, SmallReads, reads_of
from tests.support.waiting import bounded


class Protocol(asyncio.Protocol):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = b""
        self._reading_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause writing")

    def resume_writing(self) -> None:
        self.told.append("resume writing")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Transport(asyncio.Transport):
    """Remembers whether it is read."""

    def __init__(self, protocol: Any = None) -> None:
        super().__init__()
        self.reads: list[bool] = []
        self.aborted = asyncio.Event()
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted.set()

    def pause_reading(self) -> None:
        self.reads.append(False)

    def resume_reading(self) -> None:
        self.reads.append(True)


class Bench:
    def __init__(self, *, pauses: bool = True, stall_timeout_s: float = 60.0) -> None:
        self.protocol = Protocol()
        self.reads = SmallReads(self.protocol, pauses=pauses, stall_timeout_s=stall_timeout_s)
        self.transport = Transport(self.reads)
        self.reads.connection_made(self.transport)

    def come(self, data: bytes) -> None:
        """As much as is taken of it at a time."""
        while data:
            room = self.reads.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.reads.buffer_updated(size)
            data = data[size:]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_little_is_read_at_a_time_and_all_of_it_arrives(bench: Bench) -> None:
    data = bytes(range(256)) * 40
    assert len(bench.reads.get_buffer(-1)) == NARROW_BYTES
    bench.come(data)
    assert bench.protocol.received == data


async def test_nothing_more_is_read_before_others_had_their_turn(bench: Bench) -> None:
    bench.come(b"x")
    paused = list(bench.transport.reads)
    await asyncio.sleep(0)
    assert (paused, bench.transport.reads) == ([False], [False, True])


async def test_a_protocol_that_has_stopped_reading_is_left_alone(bench: Bench) -> None:
    bench.come(b"x")
    bench.protocol._reading_paused = True
    await asyncio.sleep(0)
    bench.come(b"y")
    assert bench.transport.reads == [False]


async def test_a_protocol_that_answers_at_once_needs_no_pause() -> None:
    bench = Bench(pauses=False)
    bench.come(b"x" * 10_000)
    assert not bench.transport.reads


async def test_once_it_is_known_who_sends_there_is_no_pause_and_more_room(bench: Bench) -> None:
    bench.reads.widen()
    bench.come(b"x" * 100_000)
    assert len(bench.reads.get_buffer(-1)) == WIDE_BYTES
    assert not bench.transport.reads


async def test_the_next_request_is_anybodys_again(bench: Bench) -> None:
    bench.reads.widen()
    bench.reads.narrow()
    assert len(bench.reads.get_buffer(-1)) == NARROW_BYTES


async def test_all_else_goes_through(bench: Bench) -> None:
    bench.reads.pause_writing()
    bench.reads.resume_writing()
    bench.reads.eof_received()
    bench.reads.connection_lost(None)
    assert bench.protocol.told == ["made", "pause writing", "resume writing", "eof", "lost"]


async def test_a_connection_that_is_gone_is_not_read_again(bench: Bench) -> None:
    bench.come(b"x")
    bench.reads.connection_lost(None)
    await asyncio.sleep(0)
    assert bench.transport.reads == [False]


async def test_it_is_found_by_the_connection(bench: Bench) -> None:
    assert reads_of(bench.transport) is bench.reads
    assert reads_of(Transport()) is None
    assert reads_of(asyncio.Transport()) is None
    assert reads_of(None) is None


async def test_a_peer_that_reads_nothing_of_its_answer_is_cut_off() -> None:
    bench = Bench(stall_timeout_s=0.01)
    bench.reads.pause_writing()
    await bounded("the end", bench.transport.aborted.wait())


async def test_a_peer_that_reads_again_is_not_cut_off() -> None:
    bench = Bench(stall_timeout_s=0.0)
    bench.reads.pause_writing()
    bench.reads.resume_writing()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not bench.transport.aborted.is_set()


async def test_a_peer_that_is_gone_is_not_cut_off() -> None:
    bench = Bench(stall_timeout_s=0.0)
    bench.reads.pause_writing()
    bench.reads.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not bench.transport.aborted.is_set()


async def test_aiohttp_shows_when_it_has_stopped_reading() -> None:
    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return await asyncio.Future[web.StreamResponse]()

    server = web.Server(handle, **SERVER_OPTIONS)
    protocol = server()
    transport = Transport()
    try:
        SmallReads(protocol, pauses=True).connection_made(transport)
        assert (protocol._reading_paused, protocol._buffer_paused) == (False, False)
        protocol.data_received(
            b"POST / HTTP/1.1\r\nHost: parley.test\r\nContent-Length: 100000\r\n\r\n" + bytes(20_000)
        )
        assert protocol._reading_paused, f"aiohttp {aiohttp.__version__}"
    finally:
        await server.shutdown(0.01)
