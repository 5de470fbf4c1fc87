"""TLS of a gateway's other listeners, HTTP/2 and the operator's, with certificates for credentials."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from parley.server import tls_files
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import part_client
from tests.support.admin import free_port
from tests.support.certificates import Authority, Pair
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import BOUND_S, bounded

AUDIO = pcm(1.0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def own(authority: Authority) -> Pair:
    """The gateway's certificate."""
    return authority.server()


def tls(own: Pair, authority: Authority | None = None) -> dict[str, object]:
    """A listener's settings; with an authority it asks for clients' certificates."""
    return {
        "tls_certificate_file": str(own.certificate_file),
        "tls_key_file": str(own.key_file),
        "tls_client_ca_file": "" if authority is None else str(authority.file),
    }


@pytest.fixture
async def asking(vllm: FakeVllm, own: Pair, authority: Authority) -> AsyncIterator[Http2Gateway]:
    """A gateway whose HTTP/2 endpoint takes client certificates."""
    gateway = Http2Gateway(vllm.url, http2=tls(own, authority), access={"certificates": True})
    await gateway.start()
    yield gateway
    await gateway.close()


async def test_a_stream_over_http2_is_whose_the_certificate_is(asking: Http2Gateway, authority: Authority) -> None:
    context = authority.trusting(authority.client("captions.example"), alpn="h2")
    async with part_client(asking.http2_port, tls=context) as client:
        stream = client.invoke()
        await stream.opened()
        await stream.send_turn(AUDIO)
        assert await stream.result() == transcript(16_000)
        await stream.end()


async def test_a_certificate_without_a_name_opens_no_stream(asking: Http2Gateway, authority: Authority) -> None:
    context = authority.trusting(authority.client_of_uris(""), alpn="h2")
    async with part_client(asking.http2_port, tls=context) as client:
        status, _, body = await client.invoke().refusal()
    assert status == 401
    assert "names nobody" in body["Message"]


@pytest.mark.parametrize("which", ["none", "of another authority", "expired"])
async def test_http2_is_not_spoken_with_who_has_no_good_certificate(
    asking: Http2Gateway, authority: Authority, tmp_path: Path, which: str
) -> None:
    shown = None
    if which != "none":
        signer = authority if which == "expired" else Authority(tmp_path / "stranger")
        shown = signer.client("captions.example", is_good_for=timedelta(days=-1 if which == "expired" else 1))
    context = authority.trusting(shown, alpn="h2")
    reader, writer = await asyncio.open_connection("127.0.0.1", asking.http2_port, ssl=context)
    got = b""
    # With TLS 1.3 a client hears of it with the first thing that it reads; HTTP/2 would begin with SETTINGS.
    with contextlib.suppress(OSError):
        got = await bounded("the end", reader.read())
    assert got == b""
    writer.transport.abort()


async def test_the_certificate_of_http2_is_replaced_without_a_restart(
    asking: Http2Gateway, authority: Authority, own: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "LOOK_INTERVAL_S", 0.0)
    renewed = authority.server()
    own.replace_with(renewed)
    context = authority.trusting(authority.client("captions.example"), alpn="h2")
    _, writer = await asyncio.open_connection("127.0.0.1", asking.http2_port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.transport.abort()
    assert int(shown, 16) == renewed.serial


# ---- the operator's port


async def status_of(port: int, authority: Authority, shown: Pair | None = None, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"https://127.0.0.1:{port}/admin/v1/openapi.json"
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        asyncio.timeout(BOUND_S),
        aiohttp.ClientSession(connector=connector) as http,
        http.get(url, headers=headers, ssl=authority.trusting(shown)) as found,
    ):
        await found.read()
        return found.status


async def test_the_admin_api_is_served_over_tls(start_gateway: GatewayStarter, own: Pair, authority: Authority) -> None:
    port = free_port()
    await start_gateway(admin={"port": port, **tls(own)})
    assert await status_of(port, authority) == 200


async def test_the_admin_api_may_ask_for_a_certificate_of_everybody(
    start_gateway: GatewayStarter, own: Pair, authority: Authority
) -> None:
    port = free_port()
    await start_gateway(admin={"port": port, **tls(own, authority)})
    assert await status_of(port, authority, authority.client("operator.example")) == 200
    with pytest.raises((aiohttp.ClientError, OSError)):
        await status_of(port, authority)


async def test_the_operators_token_does_where_a_certificate_is_one_of_several_credentials(
    start_gateway: GatewayStarter, own: Pair, authority: Authority, tmp_path: Path
) -> None:
    port, token = free_port(), "t" * 32
    (tmp_path / "token").write_text(token)
    admin = {"port": port, "token_file": str(tmp_path / "token"), **tls(own, authority)}
    await start_gateway(admin=admin, access={"certificates": True})
    assert await status_of(port, authority, token=token) == 200
    assert await status_of(port, authority) == 401


async def test_a_silent_connection_to_the_admin_api_is_no_longer_kept_than_others(
    start_gateway: GatewayStarter, own: Pair, authority: Authority
) -> None:
    port = free_port()
    await start_gateway(admin={"port": port, **tls(own)})
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
    try:
        # The oldest of those that say nothing had to go for it.
        assert await status_of(port, authority) == 200
        assert await bounded("the end", silent[0][0].read()) == b""
    finally:
        for _, writer in silent:
            writer.transport.abort()
