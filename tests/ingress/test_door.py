"""The door: connections that have not said what they want are bounded in time and number, with TLS and without."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from parley.ingress.door import Door, DoorLimits, Visitor
from tests.support.certificates import Authority
from tests.support.logs import LogWatch
from tests.support.raw import RawSocket, request
from tests.support.waiting import Changes, bounded

PING = request("/ping", {"Host": "parley.test"})
AGES_S = 1_000.0
both_loops = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])


class Hall(asyncio.Protocol):
    """What a connection is handed over to: says how much it got."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of no such class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"%d." % len(data))


class Scene:
    """Doors, and who comes."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.heard: list[Visitor] = []
        self.changes = Changes()
        self.halls: list[Hall] = []

    async def door(self, tls: Callable[[], ssl.SSLContext] | None = None, **limits: float) -> tuple[Door, int]:
        door = Door(self._heard, DoorLimits(**limits), tls)  # type: ignore[arg-type]
        port = await door.start("127.0.0.1", 0)
        self._stack.push_async_callback(self._close, door)
        return door, port

    async def visitor(self, port: int) -> RawSocket:
        socket = await RawSocket.connect(port)
        self._stack.callback(socket.abort)
        return socket

    async def until_heard(self, count: int) -> None:
        await self.changes.until(f"{count} heads", lambda: len(self.heard) == count)

    async def _close(self, door: Door) -> None:
        await door.close()
        for hall in self.halls:
            hall.transport.close()
        await door.cut_lingering()

    def _heard(self, visitor: Visitor) -> None:
        self.heard.append(visitor)
        hall = Hall()
        self.halls.append(hall)
        visitor.hand_over(hall, visitor.head + visitor.rest)
        self.changes.notify()


@pytest.fixture
async def scene(log: LogWatch) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(stack)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@both_loops
async def test_of_too_many_that_say_nothing_the_oldest_is_cut_off(scene: Scene, log: LogWatch) -> None:
    door, port = await scene.door(unheard_max=2, head_timeout_s=AGES_S)
    silent = [await scene.visitor(port) for _ in range(3)]
    assert await silent[0].until_eof() == b""
    assert door.unheard == 2
    for one in silent[1:]:
        one.send(PING)
        assert await one.until_found(b".") == b"%d." % len(PING)
    assert door.unheard == 0
    assert len([message for message in log.messages if "the oldest are cut off" in message]) == 1


@both_loops
async def test_of_too_many_handshakes_the_oldest_is_cut_off(scene: Scene, authority: Authority) -> None:
    context = authority.serving()
    door, port = await scene.door(lambda: context, unheard_max=2, tls_handshake_timeout_s=AGES_S)
    silent = [await scene.visitor(port) for _ in range(3)]
    assert await silent[0].until_eof() == b""
    assert door.unheard == 2


async def test_those_who_are_served_are_not_counted(scene: Scene) -> None:
    door, port = await scene.door(unheard_max=1)
    served = []
    for _ in range(3):
        one = await scene.visitor(port)
        one.send(PING)
        await one.until_found(b".")
        served.append(one)
    for one in served:
        one.send(b"more")
        assert await one.until_found(b".") == b"4."
    assert door.unheard == 0


@both_loops
async def test_who_leaves_within_the_handshake_is_not_counted(scene: Scene, authority: Authority) -> None:
    context = authority.serving()
    door, port = await scene.door(lambda: context, unheard_max=1)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x01\x00", b""):
        one = await scene.visitor(port)
        one.send(data)
        one.shut_down()
        await one.until_eof()
    trusting = authority.trusting()
    _, writer = await bounded("the handshake", asyncio.open_connection("127.0.0.1", port, ssl=trusting))
    writer.write(PING)
    await scene.until_heard(1)
    assert door.unheard == 0
    writer.transport.abort()


@both_loops
async def test_each_handshake_asks_for_its_context(scene: Scene, authority: Authority) -> None:
    contexts = [authority.serving() for _ in range(2)]
    asked = iter(contexts)
    _, port = await scene.door(lambda: next(asked))
    serials = []
    for _ in range(2):
        context = authority.trusting()
        _, writer = await bounded("the handshake", asyncio.open_connection("127.0.0.1", port, ssl=context))
        serials.append(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])
        writer.transport.abort()
    assert serials[0] != serials[1]


@both_loops
async def test_what_comes_with_a_head_is_handed_over_with_it(scene: Scene, authority: Authority) -> None:
    context = authority.serving()
    _, port = await scene.door(lambda: context)
    trusting = authority.trusting()
    reader, writer = await bounded("the handshake", asyncio.open_connection("127.0.0.1", port, ssl=trusting))
    writer.write(PING + bytes(10_000))
    got = 0
    while got < len(PING) + 10_000:
        got += int((await bounded("an answer", reader.readuntil(b".")))[:-1])
    assert scene.heard[0].head == b""
    writer.transport.abort()


@both_loops
async def test_the_close_of_a_door_ends_handshakes_and_who_says_nothing(scene: Scene, authority: Authority) -> None:
    context = authority.serving()
    door, port = await scene.door(lambda: context, tls_handshake_timeout_s=AGES_S, head_timeout_s=AGES_S)
    shaking = await scene.visitor(port)
    trusting = authority.trusting()
    reader, writer = await bounded("the handshake", asyncio.open_connection("127.0.0.1", port, ssl=trusting))
    await bounded("the close", door.close())
    assert await shaking.until_eof() == b""
    assert await bounded("the end", reader.read()) == b""
    writer.transport.abort()
    assert door.unheard == 0


@both_loops
async def test_who_does_not_answer_the_end_of_tls_is_cut_off(scene: Scene, authority: Authority) -> None:
    context = authority.serving()
    door, port = await scene.door(lambda: context, tls_shutdown_timeout_s=AGES_S)
    trusting = authority.trusting()
    reader, writer = await bounded("the handshake", asyncio.open_connection("127.0.0.1", port, ssl=trusting))
    writer.write(PING)
    await bounded("an answer", reader.readuntil(b"."))
    # It reads no more, and so answers nothing.
    peer = cast(asyncio.Transport, writer.transport)
    peer.pause_reading()
    scene.halls[0].transport.close()
    await door.cut_lingering()
    peer.resume_reading()
    assert await bounded("the end", reader.read()) == b""
    writer.transport.abort()


async def test_who_is_turned_away_reads_the_answer_whatever_it_still_sends(scene: Scene) -> None:
    _, port = await scene.door()
    one = await scene.visitor(port)
    one.send(b"GET /" + b"x" * 300_000)
    assert (await one.response()).status == 414
    one.send(b"x" * 300_000)
    one.shut_down()
    assert await one.until_eof() == b""
    assert scene.heard == []
