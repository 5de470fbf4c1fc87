"""An issuer's keys, fetched from a real server that changes, fails and lies."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from parley.access.jwt.key_source import KeySource
from parley.core.errors import ParleyError
from parley.server.issuer_keys import IssuerKeys
from tests.access.jwt.tokens import ED, RSA, jwk, key_set
from tests.support.logs import LogWatch
from tests.support.waiting import Changes, bounded

ONE = key_set(jwk(RSA, kid="one"))
TWO = key_set(jwk(ED, kid="two"))


class Issuer:
    """A server that publishes keys."""

    def __init__(self) -> None:
        self.url = ""
        self.document = ONE
        self.status = 200
        self.configuration: dict[str, object] = {}
        self.asked = 0
        self.changes = Changes()

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.changes.notify()
        headers = {"Location": f"{self.url}/elsewhere"} if self.status == 302 else {}
        return web.Response(body=self.document, status=self.status, headers=headers)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=ONE)

    async def configure(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.changes.notify()
        return web.json_response(self.configuration)

    async def until_asked(self, times: int) -> None:
        await self.changes.until(f"it was asked {times} times", lambda: self.asked >= times)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    one = Issuer()
    application = web.Application()
    application.add_routes(
        [
            web.get("/keys", one.keys),
            web.get("/elsewhere", one.elsewhere),
            web.get("/.well-known/openid-configuration", one.configure),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    one.configuration = {"issuer": one.url, "jwks_uri": f"{one.url}/keys"}
    yield one
    await runner.cleanup()


@asynccontextmanager
async def fetching(issuer: str, url: str, *, interval_s: float = 3_600.0) -> AsyncIterator[KeySource]:
    source = KeySource(clock=time.monotonic, stale_max_s=3_600.0)
    keys = IssuerKeys(source, issuer=issuer, url=url, interval_s=interval_s, jitter=lambda: 0.0)
    task = asyncio.create_task(keys.run())
    yield source
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def eventually(what: str, is_true: Callable[[], bool]) -> None:
    async def until() -> None:
        while not is_true():  # noqa: ASYNC110 - what is fetched in the background can't wake anybody
            await asyncio.sleep(0)

    await bounded(what, until())


def knows(source: KeySource, key_id: str) -> bool:
    try:
        return bool(source.find(key_id))
    except ParleyError:
        return False


def said(log: LogWatch) -> Callable[[], bool]:
    return lambda: any("can't be fetched" in message for message in log.messages)


async def test_keys_are_fetched_from_where_they_are(issuer: Issuer) -> None:
    async with fetching(issuer.url, f"{issuer.url}/keys") as source:
        await eventually("the key is known", lambda: knows(source, "one"))


async def test_where_they_are_may_be_what_the_issuer_says_itself(issuer: Issuer) -> None:
    async with fetching(issuer.url, "") as source:
        await eventually("the key is known", lambda: knows(source, "one"))


async def test_they_are_fetched_again_and_again(issuer: Issuer) -> None:
    async with fetching(issuer.url, f"{issuer.url}/keys", interval_s=0.01) as source:
        await eventually("the key is known", lambda: knows(source, "one"))
        issuer.document = TWO
        await eventually("the other key is known", lambda: knows(source, "two"))
        assert not knows(source, "one")


async def test_a_key_that_is_not_known_is_looked_for_at_once(issuer: Issuer) -> None:
    async with fetching(issuer.url, f"{issuer.url}/keys") as source:
        await eventually("the key is known", lambda: knows(source, "one"))
        issuer.document = TWO
        await eventually("the other key is known", lambda: knows(source, "two"))


async def test_an_issuer_that_is_away_is_tried_again_and_said_once(issuer: Issuer, log: LogWatch) -> None:
    issuer.status = 503
    async with fetching(issuer.url, f"{issuer.url}/keys", interval_s=0.01) as source:
        await issuer.until_asked(3)
        assert [message for message in log.messages if "fetched" in message] == [
            "the token issuer's keys can't be fetched: it answered 503"
        ]
        issuer.status = 200
        await eventually("the key is known", lambda: knows(source, "one"))
        assert "fetched again" in log.messages[-1]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"<html>canary</html>", "It is not JSON."),
        (b'{"keys": []}', "None of its keys can verify a signature."),
        (b" " * 200_000, "it answered with more than 65536 bytes"),
    ],
)
async def test_what_is_no_set_of_keys_is_said_without_a_word_of_it(
    issuer: Issuer, log: LogWatch, document: bytes, why: str
) -> None:
    issuer.document = document
    async with fetching(issuer.url, f"{issuer.url}/keys") as source:
        await eventually("it is said", said(log))
        assert not knows(source, "one")
    assert why in log.everything
    assert "canary" not in log.everything


async def test_a_redirect_is_not_followed(issuer: Issuer, log: LogWatch) -> None:
    issuer.status = 302
    async with fetching(issuer.url, f"{issuer.url}/keys") as source:
        await eventually("it is said", said(log))
        assert not knows(source, "one")


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "x"}, "another issuer's"),
        ({"jwks_uri": "x"}, "another issuer's"),
        ({"issuer": "SELF"}, "has no jwks_uri"),
        ({"issuer": "SELF", "jwks_uri": "http://192.0.2.1/keys"}, "not at an https:// address"),
        ({"issuer": "SELF", "jwks_uri": "file:///etc/passwd"}, "not at an https:// address"),
    ],
)
async def test_a_configuration_that_lies_is_refused(
    issuer: Issuer, log: LogWatch, configuration: dict[str, object], why: str
) -> None:
    issuer.configuration = json.loads(json.dumps(configuration).replace("SELF", issuer.url))
    async with fetching(issuer.url, "") as source:
        await eventually("it is said", said(log))
        assert not knows(source, "one")
    assert why in log.everything


async def test_an_issuer_that_is_not_there_is_said(log: LogWatch) -> None:
    async with fetching("http://127.0.0.1:1", "") as source:
        await eventually("it is said", said(log))
        assert not knows(source, "one")
