"""Servers that are reached at an address other than their name's: one of several behind the name."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from parley.upstream.plain_routes import PlainRoutes
from tests.support.fake_vllm import FakeVllm
from tests.support.legs import OpenLeg, failure
from tests.support.waiting import bounded

NAME = "models.example"


class Named:
    """A vLLM with a certificate for its name, and who was asked for in each handshake."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.asked_for: list[str | None] = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(NAME).configure_cert(self.context)
        self.context.sni_callback = lambda _object, name, _context: self.asked_for.append(name)


@pytest.fixture
async def named() -> Named:
    return Named()


@pytest.fixture
async def secure_vllm(named: Named, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeVllm]:
    root = tmp_path / "root.pem"
    named.authority.cert_pem.write_to_path(str(root))
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    server = FakeVllm()
    await server.start(ssl=named.context)
    yield server
    await server.stop()


def url_of(server: FakeVllm, scheme: str = "ws", host: str = NAME) -> str:
    return f"{scheme}://{host}:{server.port}/v1/realtime"


async def test_a_leg_is_opened_at_the_address_and_asks_for_the_name(open_leg: OpenLeg, vllm: FakeVllm) -> None:
    await bounded("the leg opens", open_leg(url=url_of(vllm), address="127.0.0.1"))
    request = (await vllm.session()).request
    assert request is not None
    assert request.headers["Host"] == f"{NAME}:{vllm.port}"


async def test_a_leg_that_finds_nobody_at_the_address_says_so(open_leg: OpenLeg, unused_tcp_port: int) -> None:
    url = f"ws://{NAME}:{unused_tcp_port}/v1/realtime"
    error = await failure(open_leg(url=url, address="127.0.0.1"))
    assert (error.code, error.detail) == ("upstream-unavailable", "Connection refused.")


async def test_a_leg_takes_the_certificate_of_the_name_whatever_the_address(
    open_leg: OpenLeg, secure_vllm: FakeVllm, named: Named
) -> None:
    await bounded("the leg opens", open_leg(url=url_of(secure_vllm, "wss"), address="127.0.0.1"))
    assert named.asked_for == [NAME]


async def test_a_leg_takes_no_certificate_of_another_name(open_leg: OpenLeg, secure_vllm: FakeVllm) -> None:
    url = url_of(secure_vllm, "wss", "others.example")
    error = await failure(open_leg(url=url, address="127.0.0.1"))
    assert error.code == "upstream-unavailable"
    assert secure_vllm.sessions == []


async def test_the_plain_routes_are_asked_at_the_address_for_the_name(vllm: FakeVllm) -> None:
    async with PlainRoutes(url_of(vllm), timeout_s=10.0, address="127.0.0.1") as routes:
        assert await routes.get("/health") == b""
    assert vllm.requests[0].headers["Host"] == f"{NAME}:{vllm.port}"


async def test_the_plain_routes_check_the_certificate_for_the_name(secure_vllm: FakeVllm, named: Named) -> None:
    # aiohttp knows the system's authorities alone, of which the test's is none.
    async with PlainRoutes(url_of(secure_vllm, "wss"), timeout_s=10.0, address="127.0.0.1") as routes:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await routes.get("/health")
    assert named.asked_for == [NAME]


async def test_a_redirect_is_not_followed(vllm: FakeVllm) -> None:
    vllm.raw_answers["/health"] = (
        b"HTTP/1.1 302 Found\r\nLocation: http://others.example/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    async with PlainRoutes(vllm.url, timeout_s=10.0) as routes:
        assert await routes.get("/health") is None


async def test_an_answer_that_is_too_long_is_none(vllm: FakeVllm) -> None:
    vllm.models = b"m" * 1_000
    async with PlainRoutes(vllm.url, timeout_s=10.0) as routes:
        assert await routes.get("/v1/models", 1_000) == vllm.models
        assert await routes.get("/v1/models", 999) is None
