"""The listener and the gate: connections are taken up a few at a time, held back, and closed when they are too many."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hyperframe.frame import SettingsFrame

from parley.ingress.connect_gate import ConnectGate, GateLimits
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.listener import Http2Listener
from tests.support.http2 import RawHttp2, Recorder, tls_contexts
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])


class WatchedListener(Http2Listener):
    """Tells when a connection was accepted."""

    changes: Changes

    def _accepted(self, accepted: socket.socket) -> None:
        super()._accepted(accepted)
        self.changes.notify()


@asynccontextmanager
async def listening(
    *, limits: Http2Limits | None = None, with_tls: bool = False, **gate: int
) -> AsyncIterator[tuple[WatchedListener, int]]:
    """A listener behind a gate, and its port."""
    loop = asyncio.get_running_loop()
    context = tls_contexts()[0] if with_tls else None
    listener = WatchedListener(
        Recorder(), limits or Http2Limits(linger_s=0.2), context, ConnectGate(GateLimits(**gate), loop.time)
    )
    listener.changes = Changes()
    port = await listener.start("127.0.0.1", 0)
    try:
        yield listener, port
    finally:
        await bounded("the listener closes", listener.close())


async def is_served(port: int) -> bool:
    """Whether a connection is greeted."""
    async with RawHttp2(port) as peer:
        return isinstance(await peer.next_frame(), SettingsFrame)


async def until_eof(port: int, hello: bytes = b"") -> bytes:
    """What comes of a connection that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(hello)
        return await bounded("it is closed", reader.read())
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_crowd_is_served_to_the_last_one() -> None:
    async with listening() as (_, port):
        assert all(await asyncio.gather(*(is_served(port) for _ in range(40))))


async def test_over_the_rate_connections_wait_and_are_served_in_the_end() -> None:
    async with listening(connects_per_s=50, burst=1) as (_, port):
        assert all(await asyncio.gather(*(is_served(port) for _ in range(4))))


async def test_connections_that_would_wait_too_long_are_closed_without_a_word() -> None:
    async with listening(connects_per_s=1, burst=1, wait_max_s=0) as (_, port):
        assert await is_served(port)
        assert await until_eof(port) == b""


async def test_connections_that_are_held_back_are_closed_with_the_listener() -> None:
    async with listening(connects_per_s=1, burst=1, wait_max_s=600) as (listener, port):
        assert await is_served(port)
        held = asyncio.create_task(until_eof(port))
        await listener.changes.until("it is there", lambda: bool(listener._held))
        await bounded("closing", listener.close())
        assert await held == b""


async def test_a_handshake_that_nobody_ends_is_broken_off_with_the_listener() -> None:
    async with listening(with_tls=True) as (listener, port):
        silent = asyncio.create_task(until_eof(port))
        await listener.changes.until("it is there", lambda: bool(listener._handshakes))
        await bounded("closing", listener.close())
        assert await silent == b""


async def test_what_is_no_handshake_is_closed_and_harms_nobody() -> None:
    server, trusting = tls_contexts()
    listener = Http2Listener(Recorder(), Http2Limits(linger_s=0.2), server)
    port = await listener.start("127.0.0.1", 0)
    await until_eof(port, b"GET / HTTP/1.1\r\n\r\n")
    async with RawHttp2(port, ssl_context=trusting, greet=False) as peer:
        assert isinstance(await peer.next_frame(), SettingsFrame)
    await bounded("closing", listener.close())


async def test_there_are_no_more_handshakes_at_a_time_than_connections() -> None:
    async with listening(limits=Http2Limits(linger_s=0.2, connections_max=1), with_tls=True) as (listener, port):
        first = asyncio.create_task(until_eof(port))
        await listener.changes.until("it is there", lambda: bool(listener._handshakes))
        assert await until_eof(port) == b""
        await bounded("closing", listener.close())
        await first
