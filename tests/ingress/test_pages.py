"""Browsers: tokens for pages, where pages are from, and what a page may read."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.boto import signed_headers
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import Answer, get, post
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request, text_frame
from tests.support.signing import CREDENTIALS
from tests.support.sound import pcm, wav
from tests.support.voxtral import transcript

SECRETS = "/v1/realtime/client_secrets"
PAGE = "https://captions.example"
Starter = Callable[..., Awaitable[RunningGateway]]


@pytest.fixture
def start(start_gateway: GatewayStarter, tmp_path: Path) -> Starter:
    """Starts a gateway that asks for signatures and mints tokens for pages."""
    file = tmp_path / "keys.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\ntenant = "acme"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )

    async def started(**access: object) -> RunningGateway:
        return await start_gateway(
            access={"credentials_file": str(file), "browser_tokens": True, **access},
            server={"port": 0, "allowed_origins": (PAGE,)},
        )

    return started


@pytest.fixture
async def guarded(start: Starter) -> RunningGateway:
    return await start()


async def asked(gateway: RunningGateway, body: bytes = b"", **more: str) -> Answer:
    """The answer to whoever may have tokens minted."""
    signed = signed_headers(
        SECRETS,
        method="POST",
        headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
        authority=f"127.0.0.1:{gateway.port}",
    )
    return await post(gateway, SECRETS, body, **signed, **more)


async def minted(gateway: RunningGateway) -> str:
    answer = await asked(gateway)
    assert answer.status == 200, answer.body
    return str(answer.json["value"])


async def refused(gateway: RunningGateway, path: str = "/v1/realtime", **headers: str) -> tuple[int, str]:
    response = await (await gateway.raw()).upgrade(path, **headers)
    return response.status, response.error["code"]


# ---- minting


async def test_a_token_is_minted_in_openais_shape(guarded: RunningGateway) -> None:
    session = {"type": "transcription", "model": "m"}
    body = json.dumps({"expires_after": {"anchor": "created_at", "seconds": 90}, "session": session})
    answer = await asked(guarded, body.encode())
    assert set(answer.json) == {"value", "expires_at", "session"}
    assert answer.json["value"].startswith("pt1.")
    assert isinstance(answer.json["expires_at"], int)
    assert answer.json["session"] == session
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"\xff",
        b'{"expires_after": {"anchor": "now"}}',
        b'{"expires_after": {"seconds": 0}}',
        b'{"expires_after": {"seconds": 601}}',
        b'{"expires_after": {"seconds": "60"}}',
        b'{"session": 1}',
        b"[" * 5_000,
    ],
)
async def test_what_is_asked_for_wrongly_is_explained(guarded: RunningGateway, body: bytes) -> None:
    answer = await asked(guarded, body)
    assert (answer.status, answer.code) == (400, "bad-request")


async def test_a_long_body_is_not_read_to_its_end(guarded: RunningGateway) -> None:
    assert (await asked(guarded, b" " * 10_000)).code == "message-too-large"


async def test_a_body_that_is_signed_has_to_be_the_one(guarded: RunningGateway) -> None:
    signed = signed_headers(
        SECRETS, method="POST", headers={"X-Amz-Content-SHA256": "0" * 64}, authority=f"127.0.0.1:{guarded.port}"
    )
    answer = await post(guarded, SECRETS, b"{}", **signed)
    assert (answer.status, answer.code) == (403, "invalid-signature")


async def test_nobody_has_no_token_minted(guarded: RunningGateway) -> None:
    answer = await post(guarded, SECRETS, b"{}")
    assert (answer.status, answer.code) == (401, "credentials-missing")


async def test_a_page_can_not_have_another_token_minted(guarded: RunningGateway) -> None:
    answer = await post(guarded, SECRETS, b"{}", Authorization=f"Bearer {await minted(guarded)}")
    assert (answer.status, answer.code) == (403, "forbidden")


async def test_without_browser_tokens_there_is_no_such_route(gateway: RunningGateway, start: Starter) -> None:
    for without in (gateway, await start(browser_tokens=False)):
        answer = await post(without, SECRETS, b"{}")
        assert (answer.status, answer.code) == (404, "not-found")


async def test_nodes_with_one_key_take_each_others_tokens(start: Starter, tmp_path: Path) -> None:
    file = tmp_path / "browser.key"
    file.write_text("a-key-of-browser-tokens-for-all-nodes\n")
    first, second, alone = [await start(**options) for options in [{"browser_token_key_file": str(file)}] * 2 + [{}]]
    token = await minted(first)
    await second.connect(subprotocols=["realtime", f"parley.token.{token}"])
    assert await refused(alone, Authorization=f"Bearer {token}") == (401, "invalid-token")


# ---- connecting


@pytest.mark.parametrize("prefix", ["parley.token.", "openai-insecure-api-key."])
async def test_a_page_brings_its_token_as_a_subprotocol(guarded: RunningGateway, prefix: str) -> None:
    token = await minted(guarded)
    client = await guarded.connect(subprotocols=["realtime", prefix + token], origin=PAGE)
    assert client.connection.subprotocol == "realtime"
    await client.name_model()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_the_token_is_never_the_subprotocol_that_is_agreed_on(guarded: RunningGateway) -> None:
    token = await minted(guarded)
    response = await (await guarded.raw()).upgrade(Sec_WebSocket_Protocol=f"parley.token.{token}")
    assert response.status == 101
    assert "sec-websocket-protocol" not in response.headers


async def test_a_page_brings_its_token_with_its_first_event(guarded: RunningGateway) -> None:
    socket = await guarded.raw()
    assert (await socket.upgrade("/v1/realtime?auth=event", Origin=PAGE)).status == 101
    socket.send(text_frame("session.authenticate", token=await minted(guarded)))
    assert (await socket.frame()).event["type"] == "session.created"


async def test_a_page_may_send_a_recording(guarded: RunningGateway) -> None:
    headers = {"Authorization": f"Bearer {await minted(guarded)}", "Origin": PAGE}
    answer = await post(guarded, "/invocations", wav(pcm(1.0)), **headers)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, PAGE)


async def test_a_session_outlives_its_token(start: Starter) -> None:
    guarded = await start(browser_token_ttl_max_s=1.0)
    body = b'{"expires_after": {"anchor": "created_at", "seconds": 1}}'
    token = (await asked(guarded, body)).json["value"]
    client: Client = await guarded.connect(subprotocols=["realtime", f"parley.token.{token}"])
    await client.name_model()

    async def taken() -> bool:
        socket = await guarded.raw()
        response = await socket.upgrade(Authorization=f"Bearer {token}")
        socket.abort()
        return response.status == 101

    while await taken():
        pass
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_a_token_in_a_url_is_not_looked_at_and_not_logged(guarded: RunningGateway, log: LogWatch) -> None:
    log.include_libraries()
    token = await minted(guarded)
    for name in ("token", "access_token", "authorization", "api_key", "client_secret"):
        assert await refused(guarded, f"/v1/realtime?{name}={token}") == (401, "credentials-missing")
    assert token not in log.everything


async def test_a_token_is_logged_nowhere(guarded: RunningGateway, log: LogWatch) -> None:
    log.include_libraries()
    token = await minted(guarded)
    await (await guarded.raw()).upgrade(Sec_WebSocket_Protocol=f"realtime, parley.token.{token}")
    assert await refused(guarded, Sec_WebSocket_Protocol=f"realtime, parley.token.{token}x") == (401, "invalid-token")
    socket = await guarded.raw()
    await socket.upgrade("/v1/realtime?auth=event")
    socket.send(text_frame("session.authenticate", token=token + "x"))
    await socket.until_close()
    assert token not in log.everything


async def test_two_credentials_at_once_are_one_too_many(guarded: RunningGateway, vllm: FakeVllm) -> None:
    token = await minted(guarded)
    signed = signed_headers("/v1/realtime", authority=UPGRADE["Host"])
    both = {**signed, "Sec-WebSocket-Protocol": f"realtime, parley.token.{token}"}
    assert await refused(guarded, **both) == (400, "bad-request")
    twice = {"Authorization": f"Bearer {token}", "Sec-WebSocket-Protocol": f"realtime, parley.token.{token}"}
    assert await refused(guarded, **twice) == (400, "bad-request")
    assert vllm.sessions == []


# ---- where pages are from


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{PAGE}.evil.example", "http://captions.example"])
async def test_a_page_of_another_origin_opens_nothing(
    guarded: RunningGateway, gateway: RunningGateway, vllm: FakeVllm, origin: str
) -> None:
    token = await minted(guarded)
    protocols = f"realtime, parley.token.{token}"
    assert await refused(guarded, Origin=origin, Sec_WebSocket_Protocol=protocols) == (403, "origin-forbidden")
    assert await refused(gateway, Origin=origin) == (403, "origin-forbidden")
    assert await refused(gateway, "/v1/realtime?auth=event", Origin=origin) == (403, "origin-forbidden")
    assert vllm.sessions == []


async def test_a_name_that_was_led_to_loopback_opens_nothing(gateway: RunningGateway) -> None:
    name = f"evil.example:{gateway.port}"
    assert await refused(gateway, Host=name, Origin=f"http://{name}") == (403, "origin-forbidden")
    answer = await post(gateway, "/invocations", wav(pcm(1.0)), Host=name, Origin=f"http://{name}")
    assert (answer.status, answer.code) == (403, "origin-forbidden")


async def test_a_page_of_this_servers_own_address_connects(gateway: RunningGateway) -> None:
    own = f"127.0.0.1:{gateway.port}"
    response = await (await gateway.raw()).upgrade(Host=own, Origin=f"http://{own}")
    assert response.status == 101


async def test_of_a_forbidden_page_no_body_is_read(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    headers = {"Host": "parley.test", "Content-Length": "100000000", "Origin": "https://evil.example"}
    socket.send(request("/invocations", headers, "POST"))
    response = await socket.response()
    assert (response.status, response.error["code"]) == (403, "origin-forbidden")
    assert await socket.until_eof() == b""


# ---- what a page may read


async def preflight(gateway: RunningGateway, path: str, origin: str, method: str = "POST") -> Any:
    socket = await gateway.raw()
    headers = {"Host": "parley.test", "Origin": origin, "Access-Control-Request-Method": method}
    socket.send(request(path, headers, "OPTIONS"))
    return await socket.response()


@pytest.mark.parametrize(("path", "method"), [("/invocations", "POST"), ("/v1/models", "GET"), (SECRETS, "POST")])
async def test_a_page_is_told_what_it_may_ask(guarded: RunningGateway, path: str, method: str) -> None:
    response = await preflight(guarded, path, PAGE, method)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["access-control-allow-methods"] == method
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/invocations", "/v1/models", SECRETS])
async def test_a_page_of_another_origin_is_told_nothing(guarded: RunningGateway, path: str) -> None:
    response = await preflight(guarded, path, "https://evil.example")
    assert response.status == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_page_may_read_why_it_was_refused(guarded: RunningGateway) -> None:
    answer = await post(guarded, "/invocations", b"", Origin=PAGE)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_every_page_may_read_where_all_may(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"port": 0, "allowed_origins": ("*",)})
    response = await preflight(gateway, "/v1/models", "https://any.example", "GET")
    assert (response.status, response.headers["access-control-allow-origin"]) == (204, "*")
    assert "vary" not in response.headers


async def test_what_is_no_page_is_told_nothing_of_pages(gateway: RunningGateway) -> None:
    answer = await get(gateway, "/v1/models")
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    socket = await gateway.raw()
    socket.send(request("/v1/models", {"Host": "parley.test"}, "OPTIONS"))
    assert (await socket.response()).status == 405
