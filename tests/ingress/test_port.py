"""One port for WebSockets and plain HTTP: what a connection's first bytes lead to."""

import asyncio

import pytest

from parley.core.errors import ERRORS
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.raw import TEXT, UPGRADE, Response, frame, request

PING = request("/ping", {"Host": "parley.test"})


async def test_a_head_may_come_byte_by_byte(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    await socket.send_apart(*(PING[at : at + 1] for at in range(len(PING))))
    assert (await socket.response()).status == 200


async def test_two_requests_in_one_segment_are_both_answered(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(PING + request("/v1/models", {"Host": "parley.test"}))
    assert (await socket.response()).status == 200
    assert b"voxtral" in (await socket.response()).body


async def test_a_head_that_does_not_end_in_time_is_cut_off(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"head_timeout_s": 0.05})
    socket = await gateway.raw()
    socket.send(PING[:-3])
    assert await socket.until_eof() == b""


async def test_a_silent_connection_is_cut_off(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"head_timeout_s": 0.05})
    socket = await gateway.raw()
    assert await socket.until_eof() == b""


async def test_a_session_may_be_silent_for_longer_than_a_head(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"head_timeout_s": 0.3})
    quiet = await gateway.connect()
    silent = await gateway.raw()
    # The end of the silent one tells that the time is over.
    await silent.until_eof()
    await quiet.name_model("nobody")
    assert await quiet.error() == "model-not-found"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request("/ping", {"Host": "parley.test", "X-Long": "x" * 20_000}), 431),
        (request("/ping", {"Host": "parley.test", "X-Long": "x" * 9_000}), 431),
        (request("/" + "x" * 20_000, {"Host": "parley.test"}), 414),
        (request("/" + "x" * 9_000, {"Host": "parley.test"}), 414),
        (request("/ping", {f"X-{index}": "x" * 100 for index in range(400)}), 431),
        (request("/v1/realtime", UPGRADE | {"X-Long": "x" * 20_000}), 431),
        (request("/v1/realtime?" + "x" * 9_000, UPGRADE), 414),
        (request("/v1/realtime", UPGRADE | {f"X-{index}": "x" * 100 for index in range(400)}), 431),
    ],
    ids=[
        "a very long field",
        "a long field",
        "a very long target",
        "a long target",
        "many fields",
        "an upgrade with a long field",
        "an upgrade with a long target",
        "an upgrade with many fields",
    ],
)
async def test_a_head_that_is_too_long_is_refused_with_the_status_for_it(
    gateway: RunningGateway, head: bytes, status: int
) -> None:
    socket = await gateway.raw()
    socket.send(head)
    answer = await socket.response()
    assert (answer.status, answer.error["code"]) == (status, "bad-request")
    socket.shut_down()
    assert await socket.until_eof() == b""


async def test_a_head_without_end_is_refused(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(b"GET /ping HTTP/1.1\r\nX-Long: " + b"x" * 100_000)
    assert (await socket.response()).status == 431
    socket.shut_down()
    await socket.until_eof()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nName\x00: value\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=[
        "a TLS hello",
        "a word",
        "nothing but line ends",
        "an HTTP that does not exist",
        "a header without a colon",
        "a header with a null",
        "a negative length",
        "two lengths",
        "a broken chunk",
        "HTTP/2",
    ],
)
async def test_what_is_not_http_is_refused_or_cut_off(gateway: RunningGateway, garbage: bytes) -> None:
    socket = await gateway.raw()
    socket.send(garbage)
    socket.shut_down()
    answer = await socket.until_eof()
    assert answer == b"" or answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))


async def test_the_port_serves_on_after_garbage(gateway: RunningGateway, vllm: FakeVllm) -> None:
    bad = await gateway.raw()
    bad.send(b"hello\r\n\r\n")
    await bad.until_eof()
    good = await gateway.raw()
    good.send(PING)
    assert (await good.response()).status == 200


@pytest.mark.parametrize("path", ["/v1/realtime", "/invocations-bidirectional-stream"])
async def test_plain_http_on_a_websocketroute_is_told_to_upgrade(gateway: RunningGateway, path: str) -> None:
    socket = await gateway.raw()
    socket.send(request(path, {"Host": "parley.test"}))
    response = await socket.response()
    assert response.status == 400
    assert response.headers["upgrade"] == "websocket"
    assert response.error["code"] == "bad-request"
    assert "WebSocket upgrade" in response.error["message"]


async def test_an_upgrade_on_a_used_connection_is_told_to_come_first(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(PING)
    assert (await socket.response()).status == 200
    response = await socket.upgrade()
    assert response.status == 400
    assert "first request on its connection" in response.error["message"]
    await socket.until_eof()


@pytest.mark.parametrize("path", ["/", "/v1/realtim", "/v1/realtime/", "/ping", "/invocations", "//v1/realtime"])
async def test_an_upgrade_to_an_unknown_route_is_refused_with_the_routes(gateway: RunningGateway, path: str) -> None:
    socket = await gateway.raw()
    response = await socket.upgrade(path)
    assert response.status == 404
    assert response.error["code"] == "not-found"
    assert "/v1/realtime" in response.error["message"]
    await socket.until_eof()


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "upgrade"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "Upgrade, keep-alive"},
        {"Upgrade": "WebSocket"},
        {"upgrade": "websocket"},
        {"Sec_WebSocket_Version": "13"},
    ],
    ids=["lower case", "as Firefox sends it", "in another order", "upper case", "a name in lower case", "version 13"],
)
async def test_every_valid_spelling_of_an_upgrade_is_accepted(gateway: RunningGateway, headers: dict[str, str]) -> None:
    socket = await gateway.raw()
    assert (await socket.upgrade(**headers)).status == 101
    assert (await socket.frame()).event["type"] == "session.created"


@pytest.mark.parametrize(
    "head",
    [
        request("/v1/realtime", UPGRADE | {"Sec-WebSocket-Key": "short"}),
        request("/v1/realtime", UPGRADE | {"Sec-WebSocket-Key": "not base64 at all!!!!!!!"}),
        request("/v1/realtime", {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Key"}),
        request("/v1/realtime", UPGRADE | {"Sec-WebSocket-Version": "12"}),
        request("/v1/realtime", {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Version"}),
        request("/v1/realtime", {name: value for name, value in UPGRADE.items() if name != "Connection"}),
        request("/v1/realtime", UPGRADE | {"Connection": "keep-alive"}),
        request("/v1/realtime", UPGRADE, version="HTTP/1.0"),
        request("/v1/realtime", UPGRADE | {"Content-Length": "5"}) + b"hello",
    ],
    ids=[
        "a short key",
        "a key that is not base64",
        "no key",
        "another version",
        "no version",
        "no connection header",
        "a connection header that says something else",
        "an old HTTP",
        "a body",
    ],
)
async def test_a_bad_handshake_is_refused_and_opens_no_session(
    gateway: RunningGateway, vllm: FakeVllm, head: bytes
) -> None:
    socket = await gateway.raw()
    socket.send(head)
    response = await socket.response()
    assert response.status == 400
    assert response.error["code"] == "bad-request"
    await socket.until_eof()
    assert vllm.sessions == []


async def test_an_upgrade_by_another_method_is_refused_with_the_right_one(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE, method="POST"))
    response = await socket.response()
    assert response.status == 405
    assert "GET" in response.headers["allow"]
    assert response.error["code"] == "bad-request"


async def test_an_upgrade_at_capacity_is_refused_with_the_time_to_retry(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"max_sessions": 1, "retry_after_s": 7.0})
    await gateway.connect()
    assert_refused(await (await gateway.raw()).upgrade(), 503, "at-capacity", retry_after="7")


async def test_a_place_is_free_again_when_its_session_has_ended(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    client = await gateway.connect()
    await client.close()
    await vllm.until_idle()
    await gateway.connect()


async def test_the_model_servers_budget_bounds_the_sessions_as_well(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"max_sessions": 8}, upstream={"max_sessions": 1})
    await gateway.connect()
    assert_refused(await (await gateway.raw()).upgrade(), 503, "at-capacity", retry_after="2")


async def test_an_upgrade_while_the_model_server_is_away_is_refused(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.is_healthy = False
    gateway = await start_gateway(wait_ready=False)
    assert_refused(await (await gateway.raw()).upgrade(), 503, "upstream-unavailable", retry_after="2")


def assert_refused(response: Response, status: int, code: str, *, retry_after: str) -> None:
    assert response.status == status
    assert response.error["code"] == code
    assert response.headers["retry-after"] == retry_after
    assert response.headers["x-amzn-errortype"] == ERRORS[code].aws_exception


async def test_many_connections_that_say_nothing_keep_nobody_out(gateway: RunningGateway) -> None:
    silent = await asyncio.gather(*(gateway.raw() for _ in range(100)))
    client = await gateway.connect()
    await client.send_raw("hello")
    assert await client.error() == "invalid-json"
    assert len(silent) == 100


async def test_connections_that_say_nothing_do_not_delay_the_end(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"head_timeout_s": 600.0})
    silent = await gateway.raw()
    idle = await gateway.raw()
    idle.send(PING)
    await idle.response()
    gateway.begin_stop()
    await gateway.until_stopped()
    assert await silent.until_eof() == b""
    assert await idle.until_eof() == b""


async def test_a_frame_right_behind_the_handshake_is_not_lost(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE) + frame(TEXT, b"hello"))
    assert (await socket.response()).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    assert (await socket.frame()).event["parley"]["code"] == "invalid-json"


async def test_large_data_right_behind_the_handshake_is_not_lost(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE) + frame(TEXT, b"x" * 200_000) + frame(TEXT, b"y"))
    assert (await socket.response()).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    for _ in range(2):
        assert (await socket.frame()).event["parley"]["code"] == "invalid-json"
