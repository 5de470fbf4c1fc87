"""TLS of a whole gateway: encrypted sessions, client certificates, and certificates that are replaced."""

import asyncio
import json
import ssl
import warnings
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from picows import WSListener, WSMsgType, WSTransport, ws_connect
from websockets.exceptions import InvalidStatus, WebSocketException

from parley.server import tls_files
from tests.support.certificates import Authority, Pair
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.raw import RawSocket, text_frame
from tests.support.signing import CREDENTIALS
from tests.support.sound import encoded, pcm
from tests.support.voxtral import transcript
from tests.support.waiting import BOUND_S, bounded

AUDIO = pcm(1.0)
REFUSED = (OSError, EOFError, WebSocketException)
"""With TLS 1.3 a client hears of it with the first thing that it reads."""
both_loops = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def own(authority: Authority) -> Pair:
    """The gateway's certificate."""
    return authority.server()


def tls(own: Pair, authority: Authority | None = None) -> dict[str, str]:
    """A listener's settings; with an authority it asks for clients' certificates."""
    return {
        "tls_certificate_file": str(own.certificate_file),
        "tls_key_file": str(own.key_file),
        "tls_client_ca_file": "" if authority is None else str(authority.file),
    }


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the files with every handshake."""
    monkeypatch.setattr(tls_files, "LOOK_INTERVAL_S", 0.0)


@pytest.fixture
async def clients() -> AsyncIterator[list[Client]]:
    """Those that a test opens; they end with it."""
    opened: list[Client] = []
    yield opened
    for client in opened:
        await client.close()


async def connect(
    gateway: RunningGateway, context: ssl.SSLContext, clients: list[Client], path: str = "/v1/realtime"
) -> Client:
    client = await Client.connect(f"wss://127.0.0.1:{gateway.port}{path}", ssl=context)
    clients.append(client)
    return client


async def answer(url: str, context: ssl.SSLContext, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """What is answered to a plain request; `headers` with underscores for hyphens."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    method = "GET" if body is None else "POST"
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        asyncio.timeout(BOUND_S),
        aiohttp.ClientSession(connector=connector) as http,
        http.request(method, url, data=body, headers=fields, ssl=context) as found,
    ):
        return found.status, await found.read()


async def transcribed(client: Client) -> str:
    await client.send_turn(AUDIO)
    return await client.result()


def certificate_of(client: Client) -> int:
    """The serial number of the certificate that a client's connection began with."""
    found = client.connection.transport.get_extra_info("ssl_object").getpeercert()
    return int(found["serialNumber"], 16)


@both_loops
async def test_a_session_runs_over_tls(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client]
) -> None:
    gateway = await start_gateway(server=tls(own))
    client = await connect(gateway, authority.trusting(), clients)
    await client.name_model()
    assert await transcribed(client) == transcript(16_000)


@both_loops
async def test_picows_as_a_client_gets_its_session_over_tls(
    start_gateway: GatewayStarter, authority: Authority, own: Pair
) -> None:
    gateway = await start_gateway(server=tls(own))
    greeted: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: Any) -> None:
            if frame.msg_type == WSMsgType.TEXT and not greeted.done():
                greeted.set_result(json.loads(frame.get_payload_as_utf8_text()))

    transport, _ = await bounded(
        "the handshake",
        ws_connect(
            Listener,
            f"wss://127.0.0.1:{gateway.port}/v1/realtime",
            ssl_context=authority.trusting(),
            use_aiofastnet=False,
        ),
    )
    assert (await bounded("the greeting", greeted))["type"] == "session.created"
    transport.disconnect()
    await bounded("the end", transport.wait_disconnected())


@both_loops
async def test_plain_http_is_served_over_tls(start_gateway: GatewayStarter, authority: Authority, own: Pair) -> None:
    gateway = await start_gateway(server=tls(own))
    url, context = f"https://127.0.0.1:{gateway.port}", authority.trusting()
    assert (await answer(f"{url}/ping", context))[0] == 200
    status, body = await answer(f"{url}/invocations", context, AUDIO, Content_Type="audio/pcm;rate=16000")
    assert status == 200, body
    assert json.loads(body)["text"] == transcript(16_000).strip()


@both_loops
async def test_a_large_body_arrives_whole_over_tls(
    start_gateway: GatewayStarter, authority: Authority, own: Pair
) -> None:
    gateway = await start_gateway(server={**tls(own), "body_max_bytes": 400_000})
    status, _ = await answer(
        f"https://127.0.0.1:{gateway.port}/invocations",
        authority.trusting(),
        pcm(12.0),
        Content_Type="audio/pcm;rate=16000",
    )
    assert status == 200


@both_loops
async def test_cleartext_sent_to_a_port_with_tls_is_cut_off_without_a_word(
    start_gateway: GatewayStarter, own: Pair, log: LogWatch
) -> None:
    gateway = await start_gateway(server=tls(own))
    socket = await gateway.raw()
    socket.send(b"GET /ping HTTP/1.1\r\nHost: parley.test\r\n\r\n")
    assert b"HTTP/" not in await socket.until_eof()
    assert not [record for record in log.records if record.exc_info]


@both_loops
async def test_a_handshake_that_does_not_end_in_time_is_cut_off(start_gateway: GatewayStarter, own: Pair) -> None:
    gateway = await start_gateway(server={**tls(own), "head_timeout_s": 0.05})
    socket = await gateway.raw()
    socket.send(b"\x16\x03\x01\x02\x00\x01")
    await socket.until_eof()


@both_loops
async def test_a_client_that_is_silent_after_the_handshake_is_cut_off(
    start_gateway: GatewayStarter, authority: Authority, own: Pair
) -> None:
    gateway = await start_gateway(server={**tls(own), "head_timeout_s": 0.3})
    reader, writer = await bounded(
        "the handshake", asyncio.open_connection("127.0.0.1", gateway.port, ssl=authority.trusting())
    )
    assert await bounded("the end", reader.read()) == b""
    writer.transport.abort()


async def test_tls_1_1_is_refused(start_gateway: GatewayStarter, authority: Authority, own: Pair) -> None:
    gateway = await start_gateway(server=tls(own))
    context = authority.trusting()
    # The system's own settings may forbid it to clients.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)


@both_loops
async def test_a_client_that_reads_nothing_is_cut_off_over_tls_too(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, vllm: FakeVllm
) -> None:
    server = {**tls(own), "write_buffer_max_bytes": 1_024}
    gateway = await start_gateway(server=server, session={"output_max_bytes": 65_536})
    client = RawSocket(*await asyncio.open_connection("127.0.0.1", gateway.port, ssl=authority.trusting(), limit=2**12))
    await client.upgrade()
    await client.frame()
    client.send(text_frame("session.update", model=""))
    client.send(text_frame("input_audio_buffer.commit"))
    client.send(text_frame("input_audio_buffer.append", audio=encoded(AUDIO)))
    leg = await vllm.session()
    leg.hold_model()
    await leg.until_samples(16_000)
    # It reads nothing from here on.
    while not leg.is_lost:
        for _ in range(50):
            leg.send_event("transcription.delta", delta="x" * 1_000)
        await leg.until_read()
    client.abort()


@both_loops
async def test_audio_waits_within_bounds_while_the_model_reads_nothing_over_tls_too(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, vllm: FakeVllm, clients: list[Client]
) -> None:
    gateway = await start_gateway(server=tls(own), session={"held_audio_max_s": 2.0})
    client = await connect(gateway, authority.trusting(), clients)
    await client.name_model()
    await client.start()
    leg = await vllm.session()
    leg.hold_model()
    saying = asyncio.create_task(client.say(pcm(200.0)))
    await leg.until_samples(16_000)
    leg.release_model()
    await bounded("all of it is taken", saying)
    await client.finish()
    assert await client.result() == transcript(200 * 16_000)


# ---- client certificates


@both_loops
async def test_who_shows_a_certificate_gets_a_session_and_nobody_else_does(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client]
) -> None:
    gateway = await start_gateway(server=tls(own, authority), access={"certificates": True})
    client = await connect(gateway, authority.trusting(authority.client("captions.example")), clients)
    await client.name_model()
    assert await transcribed(client) == transcript(16_000)
    with pytest.raises(REFUSED):
        await connect(gateway, authority.trusting(), clients)


@pytest.mark.parametrize("which", ["of another authority", "expired", "signed by itself"])
async def test_a_certificate_that_does_not_verify_opens_nothing(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client], tmp_path: Path, which: str
) -> None:
    gateway = await start_gateway(server=tls(own, authority), access={"certificates": True})
    stranger = Authority(tmp_path / "stranger")
    shown = {
        "of another authority": lambda: stranger.client("captions.example"),
        "expired": lambda: authority.client("captions.example", is_good_for=timedelta(days=-1)),
        "signed by itself": stranger.self_signed,
    }[which]()
    with pytest.raises(REFUSED):
        await connect(gateway, authority.trusting(shown), clients)


async def test_a_certificate_with_a_plain_request_is_whose_it_is(
    start_gateway: GatewayStarter, authority: Authority, own: Pair
) -> None:
    gateway = await start_gateway(server=tls(own, authority), access={"certificates": True})
    nameless = authority.client_of_uris("")
    status, body = await answer(f"https://127.0.0.1:{gateway.port}/v1/models", authority.trusting(nameless))
    assert (status, json.loads(body)["error"]["code"]) == (401, "invalid-token")


async def test_a_certificate_without_a_name_begins_no_session(
    start_gateway: GatewayStarter, authority: Authority, own: Pair
) -> None:
    gateway = await start_gateway(server=tls(own, authority), access={"certificates": True})
    context = authority.trusting(authority.client_of_uris(""))
    with pytest.raises(InvalidStatus) as caught:
        await Client.connect(f"wss://127.0.0.1:{gateway.port}/v1/realtime", ssl=context)
    assert caught.value.response.status_code == 401


async def test_a_session_is_resumed_with_the_certificate_that_began_it_and_no_other(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client]
) -> None:
    gateway = await start_gateway(server=tls(own, authority), access={"certificates": True})
    mine, other = (authority.trusting(authority.client(name)) for name in ("captions.example", "other.example"))
    first = await connect(gateway, mine, clients)
    await first.send("session.update", model=MODEL, parley={"resume": True})
    token = (await first.receive())["resume"]["token"]
    first.abort()
    for context, kind in ((other, "error"), (mine, "session.resumed")):
        back = await connect(gateway, context, clients, "/v1/realtime?resume=1")
        await back.send("session.resume", token=token, seq=0)
        assert (await back.receive())["type"] == kind


async def test_beside_other_credentials_a_certificate_may_be_missing_but_not_wrong(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client], tmp_path: Path
) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    keys.chmod(0o600)
    access = {"certificates": True, "credentials_file": str(keys)}
    gateway = await start_gateway(server=tls(own, authority), access=access)
    url = f"https://127.0.0.1:{gateway.port}/v1/models"
    status, body = await answer(url, authority.trusting())
    assert (status, json.loads(body)["error"]["code"]) == (401, "credentials-missing")
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises((aiohttp.ClientError, OSError)):
        await answer(url, authority.trusting(stranger.client("captions.example")))


# ---- renewal


@both_loops
async def test_a_certificate_is_replaced_under_a_live_session(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client], looks: None
) -> None:
    gateway = await start_gateway(server=tls(own))
    before, renewed = own.serial, authority.server()
    old = await connect(gateway, authority.trusting(), clients)
    await old.name_model()
    await old.start()
    own.replace_with(renewed)
    new = await connect(gateway, authority.trusting(), clients)
    assert (certificate_of(old), certificate_of(new)) == (before, renewed.serial)
    await old.say(AUDIO)
    await old.finish()
    assert await old.result() == transcript(16_000)


@both_loops
async def test_one_that_cannot_be_used_leaves_the_one_before_it(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client], looks: None, log: LogWatch
) -> None:
    log.expect_errors("parley.server")
    gateway = await start_gateway(server=tls(own))
    before = own.serial
    own.key_file.write_text("not a key")
    for _ in range(4):
        client = await connect(gateway, authority.trusting(), clients)
        assert certificate_of(client) == before
    assert len([message for message in log.messages if "can't be used; those before them stay" in message]) == 1


async def test_an_authority_that_is_taken_back_shuts_its_clients_out(
    start_gateway: GatewayStarter, authority: Authority, own: Pair, clients: list[Client], looks: None, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    mine = authority.client("captions.example")
    trusting, asks = authority.trusting(mine), tls(own, authority)
    gateway = await start_gateway(server=asks, access={"certificates": True})
    await connect(gateway, trusting, clients)
    authority.file.write_bytes(other.file.read_bytes())
    with pytest.raises(REFUSED):
        await connect(gateway, trusting, clients)
