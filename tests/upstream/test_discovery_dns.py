"""Model servers by the addresses of a name."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from parley.upstream.discovery.discovery import DiscoveryError
from parley.upstream.discovery.dns import DnsSource
from tests.support.waiting import bounded

URL = "ws://voxtral.models.example:8000/v1/realtime"
Found = tuple[str, str]


def v4(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 8000)) for address in addresses]


def v6(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 8000, 0, 0)) for address in addresses]


class Resolver:
    """A name server that says what a test tells it to."""

    def __init__(self) -> None:
        self.says: list[tuple[Any, ...]] | OSError = []
        self.asked: list[tuple[object, ...]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, host: str, port: int, **_: object) -> Sequence[tuple[Any, ...]]:
        self.asked.append((host, port))
        await self.may_answer.wait()
        if isinstance(self.says, OSError):
            raise self.says
        return self.says


@pytest.fixture
async def resolver() -> Resolver:
    return Resolver()


def source_of(resolver: Resolver, url: str = URL, timeout_s: float = 10.0) -> DnsSource[Found]:
    return DnsSource(url, lambda of, address: (of, address), timeout_s=timeout_s, resolve=resolver)


async def test_every_address_is_a_server_by_the_same_url(resolver: Resolver) -> None:
    resolver.says = v4("10.0.0.2", "10.0.0.1", "10.0.0.2")
    assert await source_of(resolver).look() == [(URL, "10.0.0.1"), (URL, "10.0.0.2")]
    assert resolver.asked == [("voxtral.models.example", 8000)]


async def test_addresses_of_one_family_are_taken_the_one_that_comes_first(resolver: Resolver) -> None:
    resolver.says = v6("2001:db8::1") + v4("10.0.0.1") + v6("2001:db8::2")
    assert await source_of(resolver).look() == [(URL, "2001:db8::1"), (URL, "2001:db8::2")]


@pytest.mark.parametrize(
    ("url", "port"), [("ws://models.example/v1/realtime", 80), ("wss://models.example/v1/realtime", 443)]
)
async def test_a_url_without_a_port_has_its_schemes(resolver: Resolver, url: str, port: int) -> None:
    await source_of(resolver, url).look()
    assert resolver.asked == [("models.example", port)]


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA])
async def test_a_name_that_has_no_address_has_no_server(resolver: Resolver, number: int) -> None:
    resolver.says = socket.gaierror(number, "of no interest")
    assert await source_of(resolver).look() == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure"),
        (OSError("odd"), "OSError"),
    ],
)
async def test_a_resolver_that_fails_says_nothing_of_the_servers(resolver: Resolver, error: OSError, said: str) -> None:
    resolver.says = error
    with pytest.raises(DiscoveryError, match=said):
        await source_of(resolver).look()


async def test_a_resolver_that_hangs_is_asked_once_and_its_answer_is_taken_when_it_comes(resolver: Resolver) -> None:
    resolver.says = v4("10.0.0.1")
    resolver.may_answer.clear()
    source = source_of(resolver, timeout_s=0.01)
    for _ in range(3):
        with pytest.raises(DiscoveryError, match="no answer within"):
            await bounded("it gives up", source.look())
    assert len(resolver.asked) == 1
    resolver.may_answer.set()
    while True:
        try:
            found = await bounded("it answers", source.look())
        except DiscoveryError:
            continue
        break
    assert found == [(URL, "10.0.0.1")]
    assert len(resolver.asked) == 1


async def test_what_is_asked_is_given_up_with_the_source(resolver: Resolver) -> None:
    resolver.may_answer.clear()
    source = source_of(resolver, timeout_s=0.01)
    with pytest.raises(DiscoveryError):
        await source.look()
    await source.close()
    # That no task is left is the suite's own check.


async def test_the_systems_own_resolver_is_asked_where_none_is_given() -> None:
    source = DnsSource("ws://127.0.0.1:8000/v1/realtime", lambda _, address: address)
    assert await source.look() == ["127.0.0.1"]
    assert source.place == "DNS, name 127.0.0.1"
