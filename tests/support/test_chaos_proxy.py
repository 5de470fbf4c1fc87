"""The proxy does to connections what it is told, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.chaos_proxy import ChaosProxy
from tests.support.waiting import bounded

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it gets, piece by piece, and remembers the pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                self.pieces.append(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield echo


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(echo.url) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: ChaosProxy) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    return await bounded("the bytes come", reader.readexactly(size))


async def test_in_fair_weather_all_of_it_arrives(proxy: ChaosProxy) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await bounded("the end comes", reader.read()) == b"x" * 1_000_000


async def test_what_is_delayed_arrives_in_order(proxy: ChaosProxy) -> None:
    proxy.up.delay_s, proxy.up.jitter_s = 0.001, 0.01
    async with connected(proxy) as (reader, writer):
        sent = b"".join(b"%d " % number for number in range(50))
        for number in range(50):
            writer.write(b"%d " % number)
            await writer.drain()
        assert await exactly(reader, len(sent)) == sent


async def test_pieces_of_a_byte_arrive_as_such(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.up.piece_bytes = 1
    async with connected(proxy) as (reader, writer):
        writer.write(b"abcdefgh")
        assert await exactly(reader, 8) == b"abcdefgh"
    assert len(echo.pieces) > 1


async def test_while_it_stalls_nothing_arrives_and_little_is_read(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.up.is_stalled = True
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 64_000_000)
        # The kernel and the proxy's line are full: far from all of it was taken.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.1)
        assert echo.pieces == []
        assert writer.transport.get_write_buffer_size() > 32_000_000
        proxy.up.is_stalled = False
        assert await exactly(reader, 1_000_000) == b"x" * 1_000_000


async def test_a_connection_is_cut_at_its_byte(proxy: ChaosProxy) -> None:
    proxy.down.cuts = [3]
    async with connected(proxy) as (reader, writer):
        writer.write(b"abcdef")
        assert await exactly(reader, 3) == b"abc"
        with pytest.raises((ConnectionError, EOFError)):
            await exactly(reader, 1)
    assert proxy.cuts == 1


async def test_all_connections_are_cut_at_once(proxy: ChaosProxy) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        await exactly(reader, 1)
        assert proxy.cut(with_reset=True)
        with pytest.raises((ConnectionError, EOFError)):
            await exactly(reader, 1)
        assert not proxy.is_open


async def test_while_it_refuses_connections_end_at_once(proxy: ChaosProxy) -> None:
    proxy.is_refusing = True
    async with connected(proxy) as (reader, _):
        with pytest.raises((ConnectionError, EOFError)):
            await exactly(reader, 1)


async def test_a_half_open_connection_is_taken_and_never_answered(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.is_half_open = True
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert echo.pieces == []


async def test_the_next_server_is_taken_where_the_first_is_not_there(echo: Echo) -> None:
    async with ChaosProxy("ws://127.0.0.1:1", echo.url) as proxy, connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await exactly(reader, 1) == b"a"


async def test_a_slow_line_carries_all_of_it(proxy: ChaosProxy) -> None:
    proxy.down.bytes_per_s = 200_000
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 4_000)
        assert await exactly(reader, 4_000) == b"x" * 4_000
