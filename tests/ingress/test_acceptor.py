"""Listening sockets whose connections are handed over as they are."""

import asyncio
import errno
import socket

import pytest

from parley.ingress.acceptor import Acceptor
from tests.support.waiting import Changes, bounded


class Door:
    """An acceptor, and what it took."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.taken: list[socket.socket] = []
        self.acceptor = Acceptor(self._take)

    def _take(self, accepted: socket.socket) -> None:
        self.taken.append(accepted)
        self.changes.notify()

    async def until_taken(self, count: int) -> None:
        await self.changes.until(f"{count} were taken", lambda: len(self.taken) == count)

    def close(self) -> None:
        self.acceptor.close()
        for accepted in self.taken:
            accepted.close()


def knock(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port))


async def test_connections_are_taken_without_a_transport_and_without_being_read() -> None:
    door = Door()
    port = await door.acceptor.start("127.0.0.1", 0, backlog=16)
    with knock(port) as client:
        client.send(b"hello")
        await door.until_taken(1)
        assert not door.taken[0].getblocking()
        assert await bounded("its bytes", asyncio.get_running_loop().sock_recv(door.taken[0], 5)) == b"hello"
        door.close()


async def test_small_messages_of_its_connections_are_not_held_back() -> None:
    door = Door()
    port = await door.acceptor.start("127.0.0.1", 0, backlog=16)
    with knock(port):
        await door.until_taken(1)
        # What tells the loop to switch Nagle's algorithm off.
        assert door.taken[0].proto == socket.IPPROTO_TCP
        door.close()


async def test_a_crowd_is_taken_to_the_last_one() -> None:
    door = Door()
    port = await door.acceptor.start("127.0.0.1", 0, backlog=128)
    clients = [knock(port) for _ in range(100)]
    await door.until_taken(100)
    for client in clients:
        client.close()
    door.close()


async def test_a_closed_door_takes_nobody() -> None:
    door = Door()
    port = await door.acceptor.start("127.0.0.1", 0, backlog=16)
    for _ in range(2):
        door.acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        knock(port)


async def test_an_address_that_is_taken_is_refused() -> None:
    first, second = Door(), Door()
    port = await first.acceptor.start("127.0.0.1", 0, backlog=16)
    with pytest.raises(OSError, match="in use"):
        await second.acceptor.start("127.0.0.1", port, backlog=16)
    first.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_it_listens_on_ipv6_too() -> None:
    door = Door()
    try:
        port = await door.acceptor.start("::1", 0, backlog=16)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with knock(port, "::1"):
        await door.until_taken(1)
    door.close()


class Exhausted:
    """A listening socket for which there is no descriptor, once."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.failed = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self.failed:
            self.failed = True
            raise OSError(errno.EMFILE, "Too many open files")
        return self._real.accept()

    def fileno(self) -> int:
        return self._real.fileno()

    def close(self) -> None:
        self._real.close()


@pytest.mark.parametrize("is_closed_meanwhile", [False, True])
async def test_without_descriptors_it_waits_and_tries_again(
    is_closed_meanwhile: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("parley.ingress.acceptor._RETRY_S", 0.01)
    door = Door()
    port = await door.acceptor.start("127.0.0.1", 0, backlog=16)
    (real,) = door.acceptor._sockets
    loop = asyncio.get_running_loop()
    loop.remove_reader(real)
    exhausted = Exhausted(real)
    door.acceptor._sockets[:] = [exhausted]  # type: ignore[list-item]
    door.acceptor._listen()
    with knock(port):
        if is_closed_meanwhile:
            door.acceptor._ready(exhausted)  # type: ignore[arg-type]
        else:
            await door.until_taken(1)
        assert exhausted.failed
        assert [record.getMessage() for record in caplog.records] == [
            "connections can't be accepted: Too many open files"
        ]
        door.close()
