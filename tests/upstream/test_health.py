"""What is known of a model server, and how soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.upstream.health.health import HealthOptions, UpstreamHealth
from parley.upstream.plain_routes import http_url
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.waiting import Changes

QUICK_S = 0.02


class Watch:
    """The changes that were reported."""

    def __init__(self) -> None:
        self.reported: list[bool] = []
        self._changes = Changes()

    def __call__(self, ready: bool) -> None:
        self.reported.append(ready)
        self._changes.notify()

    async def until(self, *reported: bool) -> None:
        await self._changes.until(f"reports {reported}", lambda: tuple(self.reported) == reported)


@asynccontextmanager
async def probing(url: str, watch: Watch | None = None, **options: float | str) -> AsyncIterator[UpstreamHealth]:
    values = {"url": url, "probe_interval_s": QUICK_S, "probe_timeout_s": 10.0, **options}
    health = UpstreamHealth(HealthOptions(**values), watch)  # type: ignore[arg-type]
    task = asyncio.create_task(health.run())
    try:
        yield health
        assert not task.done(), "probing goes on whatever comes back"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_asked(vllm: FakeVllm, path: str, times: int) -> None:
    await vllm.changes.until(
        f"{times} requests of {path}", lambda: len([one for one in vllm.requests if one.path == path]) >= times
    )


async def test_a_server_that_is_healthy_is_ready_and_tells_what_it_serves(vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        assert (health.ready, health.models) == (False, ())
        await watch.until(True)
        assert (health.ready, health.models, health.version) == (True, (MODEL,), "0.33.0")


async def test_a_server_that_is_still_loading_is_not_ready(vllm: FakeVllm) -> None:
    vllm.is_healthy = False
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await until_asked(vllm, "/health", 3)
        assert not health.ready
        assert watch.reported == []
        vllm.is_healthy = True
        await watch.until(True)


async def test_a_server_that_is_not_ready_is_asked_again_before_the_interval_is_over(vllm: FakeVllm) -> None:
    vllm.is_healthy = False
    async with probing(vllm.url, probe_interval_s=600.0):
        await until_asked(vllm, "/health", 2)


async def test_a_server_that_goes_away_and_comes_back_is_seen(vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        port = vllm.port
        await vllm.stop()
        await watch.until(True, False)
        assert not health.ready
        vllm.models = b'{"data":[{"id":"another"}]}'
        await vllm.start(port)
        await watch.until(True, False, True)
        assert health.models == ("another",)


async def test_a_server_that_is_reported_lost_is_not_ready_until_it_is_asked_again(vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        health.lost()
        assert not health.ready
        assert watch.reported == [True, False]
        await watch.until(True, False, True)


async def test_a_loss_is_reported_once(vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(vllm.url, watch, probe_interval_s=600.0) as health:
        await watch.until(True)
        health.lost()
        health.lost()
        assert watch.reported == [True, False]


async def test_a_server_that_does_not_answer_is_not_ready(vllm: FakeVllm) -> None:
    vllm.raw_answers["/health"] = b""
    async with probing(vllm.url, probe_timeout_s=QUICK_S) as health:
        await until_asked(vllm, "/health", 2)
        assert not health.ready


async def test_where_nobody_listens_nothing_is_ready(unused_tcp_port: int, vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(f"ws://127.0.0.1:{unused_tcp_port}/v1/realtime", watch) as health:
        # A second one, that is there, tells when there was time enough.
        async with probing(vllm.url):
            await until_asked(vllm, "/health", 3)
        assert not health.ready
        assert watch.reported == []


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.9\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\xff" * 20_000],
    ids=["another protocol", "a broken head", "garbage"],
)
async def test_a_server_that_does_not_speak_http_is_not_ready(vllm: FakeVllm, answer: bytes) -> None:
    vllm.raw_answers["/health"] = answer
    async with probing(vllm.url) as health:
        await until_asked(vllm, "/health", 2)
        assert not health.ready


def response(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), head, body)


@pytest.mark.parametrize(
    "answer",
    [
        response(b""),
        response(b"hello"),
        response(b"[]"),
        response(b'{"data":7}'),
        response(b'{"data":[{"name":"m"}]}'),
        response(b'{"data":[{"id":"\xff"}]}'),
        response(b'{"x":' + b"[" * 100_000),
        response(b'{"data":[{"id":"%b"}]}' % (b"m" * 2**21)),
        response(b"not gzip", b"Content-Encoding: gzip\r\n"),
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=[
        "nothing",
        "no JSON",
        "a list",
        "no list of models",
        "models without ids",
        "no UTF-8",
        "nested without end",
        "more than is read",
        "another encoding than it says",
        "not found",
        "not allowed",
    ],
)
async def test_a_server_that_does_not_tell_its_models_does_not_end_the_probing(vllm: FakeVllm, answer: bytes) -> None:
    vllm.raw_answers["/v1/models"] = answer
    async with probing(vllm.url) as health:
        await until_asked(vllm, "/health", 3)
        assert health.models == ()


@pytest.mark.parametrize("body", [b"0.33.0", b'{"version":"\xff"}', b'{"version":33}', b"[" * 100_000])
async def test_a_version_that_cannot_be_read_is_unknown(vllm: FakeVllm, body: bytes) -> None:
    vllm.raw_answers["/version"] = response(body)
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        assert (health.models, health.version) == ((MODEL,), "")


async def test_a_listing_without_end_is_cut(vllm: FakeVllm) -> None:
    vllm.models = b'{"data":[%b]}' % b",".join(b'{"id":"m%d"}' % number for number in range(100))
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        assert len(health.models) == 64


async def test_the_key_is_shown_as_a_bearer_token(vllm: FakeVllm) -> None:
    watch = Watch()
    async with probing(vllm.url, watch, api_key="secret"):
        await watch.until(True)
    assert {request.headers.get("Authorization") for request in vllm.requests} == {"Bearer secret"}


def test_the_key_is_in_no_repr() -> None:
    assert "secret" not in repr(HealthOptions(url="ws://127.0.0.1:1", api_key="secret"))


@pytest.mark.parametrize(
    ("realtime", "plain"),
    [
        ("ws://127.0.0.1:8000/v1/realtime", "http://127.0.0.1:8000/health"),
        ("wss://models.example/v1/realtime", "https://models.example/health"),
        ("ws://[::1]:8000/v1/realtime", "http://[::1]:8000/health"),
        ("ws://models.example/voxtral/v1/realtime", "http://models.example/voxtral/health"),
        ("ws://models.example/voxtral/v1/realtime?x=1", "http://models.example/voxtral/health"),
        ("ws://models.example", "http://models.example/health"),
        ("ws://models.example/", "http://models.example/health"),
    ],
)
def test_the_plain_routes_are_found_beside_the_realtime_one(realtime: str, plain: str) -> None:
    assert http_url(realtime, "/health") == plain
