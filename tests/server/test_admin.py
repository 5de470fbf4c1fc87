"""The admin API over its port: what is seen, what is done, and who is kept out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parley.server.admin.openapi import ErrorBody, document
from parley.server.admin.port import BODY_MAX_BYTES
from parley.server.admin.routes import PREFIX, ROUTES
from parley.server.settings.document import Settings
from parley.server.settings.sources import SettingsError, load
from parley.server.start import StartError
from parley.server.trust import admin_token
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import get
from tests.support.sound import pcm
from tests.support.waiting import bounded

TOKEN = "0123456789abcdef-token"


@pytest.fixture
async def started(start_gateway: GatewayStarter) -> tuple[RunningGateway, AdminApi]:
    port = free_port()
    return await start_gateway(admin={"port": port}), AdminApi(port)


@pytest.fixture
def gateway(started: tuple[RunningGateway, AdminApi]) -> RunningGateway:
    return started[0]


@pytest.fixture
def admin(started: tuple[RunningGateway, AdminApi]) -> AdminApi:
    return started[1]


@pytest.fixture
async def client(gateway: RunningGateway, vllm: FakeVllm) -> Client:
    """A session with a turn under way."""
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    return client


# ---- what is seen


async def test_a_node_that_serves_says_so(admin: AdminApi, client: Client) -> None:
    node = await admin.get("node?window_s=5")
    assert (node["state"], node["live"], node["queued"]) == ("ready", 1, 0)
    assert node["drain"]["state"] == "serving"
    assert node["loop_lag"]["window_s"] == 5
    assert node["rss_bytes"] > 1_000_000


async def test_a_session_is_seen_with_its_state_and_its_model_server(admin: AdminApi, client: Client) -> None:
    page = await admin.get("sessions")
    (one,) = page["sessions"]
    (member,) = (await admin.get("upstreams"))["upstreams"]
    assert (one["state"], one["transport"], one["attached"], one["turns"]) == ("live", "websocket", True, 1)
    assert one["members"] == [member["name"]]
    assert member["streams"] == 1
    assert one["received_s"] == 0.8
    assert (page["total"], page["next"]) == (1, "")
    assert (await admin.get(f"sessions/{one['id']}"))["id"] == one["id"]


async def test_pages_show_every_session_once(gateway: RunningGateway, admin: AdminApi) -> None:
    for _ in range(5):
        await gateway.open()
    seen: list[str] = []
    after = ""
    while True:
        page = await admin.get(f"sessions?limit=2&after={after}")
        assert len(page["sessions"]) <= 2
        seen += [one["id"] for one in page["sessions"]]
        after = page["next"]
        if not after:
            break
    assert len(seen) == len(set(seen)) == 5


async def test_sessions_of_another_state_are_left_out(admin: AdminApi, client: Client) -> None:
    page = await admin.get("sessions?state=detached")
    assert (page["sessions"], page["total"]) == ([], 1)


async def test_sessions_are_found_by_what_their_ids_begin_with(admin: AdminApi, client: Client) -> None:
    (one,) = (await admin.get("sessions"))["sessions"]
    assert [each["id"] for each in (await admin.get(f"sessions?prefix={one['id'][:9]}"))["sessions"]] == [one["id"]]
    assert await admin.get("sessions?prefix=sess-none") == {"sessions": [], "next": "", "total": 1}


async def test_sessions_that_were_refused_are_counted_by_code(start_gateway: GatewayStarter) -> None:
    port = free_port()
    gateway = await start_gateway(admin={"port": port}, server={"port": 0, "max_sessions": 1})
    await gateway.open()
    with pytest.raises(Exception, match="503"):
        await gateway.connect()
    assert (await AdminApi(port).get("node"))["refused"] == {"at-capacity": 1}


# ---- what is done


async def test_a_session_that_the_operator_ends_is_told_so(admin: AdminApi, client: Client) -> None:
    (one,) = (await admin.get("sessions"))["sessions"]
    await admin.post(f"sessions/{one['id']}/end")
    assert (await client.until_closed()).error_code == "ended-by-operator"


async def test_a_session_that_moves_goes_to_another_model_server(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    async with FakeVllm() as other:
        port = free_port()
        servers = {"url": "", "urls": (vllm.url, other.url)}
        gateway = await start_gateway(admin={"port": port}, upstream=servers)
        admin = AdminApi(port)

        async def are_ready() -> bool:
            return all(one["state"] == "ready" for one in (await admin.get("upstreams"))["upstreams"])

        await eventually("both are ready", are_ready)
        client = await gateway.open()
        (one,) = (await admin.get("sessions"))["sessions"]

        async def has_stream() -> bool:
            return bool((await admin.get(f"sessions/{one['id']}"))["members"])

        await eventually("it has a stream", has_stream)
        (before,) = (await admin.get(f"sessions/{one['id']}"))["members"]
        assert await admin.post(f"sessions/{one['id']}/move", within_s=0) == {"legs": 1, "others": 1}
        await client.start()
        await client.say(pcm(0.8))

        async def has_moved() -> bool:
            return (await admin.get(f"sessions/{one['id']}"))["members"] not in ([], [before])

        await eventually("it is on the other", has_moved)
        await client.close()


async def test_a_session_on_a_full_model_server_is_told_that_another_is_ready(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    async with FakeVllm() as other:
        port = free_port()
        gateway = await start_gateway(
            admin={"port": port}, upstream={"url": "", "urls": (vllm.url, other.url), "max_sessions": 1}
        )
        admin = AdminApi(port)

        async def are_ready() -> bool:
            return all(one["state"] == "ready" for one in (await admin.get("upstreams"))["upstreams"])

        await eventually("both are ready", are_ready)
        await gateway.open()
        (one,) = (await admin.get("sessions"))["sessions"]

        async def is_full() -> bool:
            states = {each["state"] for each in (await admin.get("upstreams"))["upstreams"]}
            return states == {"ready", "full"} and bool((await admin.get(f"sessions/{one['id']}"))["members"])

        await eventually("its model server is full", is_full)
        assert (await admin.post(f"sessions/{one['id']}/move", within_s=0))["others"] == 1


async def test_a_model_server_is_drained_and_used_again(admin: AdminApi) -> None:
    (member,) = (await admin.get("upstreams"))["upstreams"]
    (drained,) = (await admin.post(f"upstreams/{member['name']}/drain", timeout_s=1))["upstreams"]
    assert drained["state"] == "draining"
    (again,) = (await admin.post(f"upstreams/{member['name']}/undrain"))["upstreams"]
    assert again["state"] == "ready"


async def test_a_node_that_was_drained_goes_on_when_that_is_taken_back(
    gateway: RunningGateway, admin: AdminApi
) -> None:
    client = await gateway.open()
    await admin.post("drain", timeout_s=60)
    assert (await client.until_closed()).error_code == "shutting-down"

    async def is_drained() -> bool:
        return bool((await admin.get("node"))["state"] == "drained")

    await eventually("it is empty", is_drained)
    assert (await get(gateway, "/ping")).status == 503
    assert (await admin.ask("DELETE", "drain")).status == 200

    async def is_ready() -> bool:
        return (await get(gateway, "/ping")).status == 200

    await eventually("it is ready again", is_ready)
    await gateway.open()


async def test_a_drained_node_still_ends_when_it_is_told_to_stop(gateway: RunningGateway, admin: AdminApi) -> None:
    await admin.post("drain")

    async def is_drained() -> bool:
        return bool((await admin.get("node"))["state"] == "drained")

    await eventually("it is empty", is_drained)
    gateway.begin_stop()
    await gateway.until_stopped()


@pytest.mark.parametrize(
    ("method", "path", "code", "status"),
    [
        ("GET", "sessions/sess-none", "session-not-found", 404),
        ("POST", "sessions/sess-none/end", "session-not-found", 404),
        ("POST", "sessions/sess-none/move", "session-not-found", 404),
        ("POST", "upstreams/nobody/drain", "upstream-not-found", 404),
        ("POST", "upstreams/nobody/undrain", "upstream-not-found", 404),
        ("DELETE", "drain", "not-draining", 409),
        ("GET", "nothing", "not-found", 404),
        ("DELETE", "node", "bad-request", 405),
        ("GET", "sessions?limit=0", "bad-request", 400),
        ("GET", "sessions?state=dead", "bad-request", 400),
        ("GET", f"sessions?prefix={65 * 'a'}", "bad-request", 400),
        ("GET", "node?window_s=NaN", "bad-request", 400),
        ("GET", "node?other=1", "bad-request", 400),
    ],
)
async def test_what_is_not_there_is_answered_with_the_tables_error(
    admin: AdminApi, method: str, path: str, code: str, status: int
) -> None:
    reply = await admin.ask(method, path)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"timeout_s":-1}', b'{"other":1}', b"\xff", b"[" * 2_000])
async def test_a_body_that_is_not_what_the_route_takes_is_refused(admin: AdminApi, data: bytes) -> None:
    reply = await admin.ask("POST", "drain", data=data)
    assert (reply.status, reply.code) == (400, "bad-request")
    assert (await admin.get("node"))["state"] == "ready"


# ---- who is kept out


@pytest.fixture
async def locked(start_gateway: GatewayStarter, tmp_path: Path) -> AdminApi:
    """One that wants a token."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    port = free_port()
    await start_gateway(admin={"port": port, "token_file": str(tmp_path / "token")})
    return AdminApi(port)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
async def test_without_the_token_nothing_is_answered(locked: AdminApi, given: str) -> None:
    for route in ROUTES:
        reply = await locked.ask(route.method, route.path.strip("/").format(id="one", name="one"), Authorization=given)
        assert (reply.status, reply.code) == (401, "invalid-token"), route
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert (await locked.ask("GET", "openapi.json", Authorization=given)).status == 401


async def test_with_the_token_everything_is(locked: AdminApi) -> None:
    reply = await locked.ask("GET", "node", Authorization=f"bearer {TOKEN}")
    assert reply.status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9901", "10.0.0.1", "[::2]", "["])
async def test_a_page_whose_name_resolves_to_loopback_is_not_answered(admin: AdminApi, host: str) -> None:
    assert (await admin.ask("GET", "node", Host=host)).status == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_can_not_post(admin: AdminApi, kind: str) -> None:
    reply = await admin.ask("POST", "drain", data=b"{}", Content_Type=kind)
    assert (reply.status, reply.code) == (400, "bad-request")


async def test_no_other_origin_is_allowed_anything(admin: AdminApi) -> None:
    reply = await admin.ask("GET", "node", Origin="http://evil.example")
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


async def test_a_body_that_is_too_large_is_refused(admin: AdminApi) -> None:
    reply = await admin.ask("POST", "drain", data=b" " * (BODY_MAX_BYTES + 1))
    assert (reply.status, reply.code) == (413, "message-too-large")


def test_an_address_that_others_reach_needs_a_token() -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ={"PARLEY_ADMIN_HOST": "0.0.0.0", "PARLEY_ADMIN_PORT": "9901"}, config=None)
    assert "admin.token_file" in str(caught.value.problems)


@pytest.mark.parametrize("token", ["", "short", "with a space in it all", "ümlaut-ümlaut-ümlaut"])
def test_a_token_that_keeps_nobody_out_is_refused(token: str) -> None:
    with pytest.raises(StartError, match="token-unusable"):
        admin_token(token)


def test_there_is_no_admin_api_unless_it_is_asked_for() -> None:
    assert Settings().admin.port == 0


# ---- what the document says


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method.upper(), path) for path, item in document()["paths"].items() for method in item}
    assert described == {(route.method, PREFIX + route.path) for route in ROUTES}


def refs(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for each in value.values() for ref in refs(each)]
    return [ref for each in value for ref in refs(each)] if isinstance(value, list) else []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    described = document()
    found = refs(described)
    assert found
    assert {ref.removeprefix("#/components/schemas/") for ref in found} <= set(described["components"]["schemas"])


async def test_answers_are_of_the_types_that_the_document_is_made_of(admin: AdminApi, client: Client) -> None:
    (one,) = (await admin.get("sessions"))["sessions"]
    (member,) = (await admin.get("upstreams"))["upstreams"]
    described = (await admin.get("openapi.json"))["components"]["schemas"]
    # What is kept has tests of its own: test_admin_retained.py.
    routes = [route for route in ROUTES if route.scope not in ("record", "caller")]
    for route in sorted(routes, key=lambda route: (route.path.endswith("/end"), route.path == "/drain")):
        path = route.path.format(id=one["id"], name=member["name"]).strip("/")
        reply = await admin.ask(route.method, path)
        assert reply.status == 200, (route, reply.body)
        msgspec.json.decode(reply.body, type=route.gives, strict=True)
        assert set(reply.json) == set(described[route.gives.__name__]["properties"])


async def test_errors_are_of_the_type_that_the_document_says(admin: AdminApi) -> None:
    reply = await admin.ask("GET", "sessions/none")
    assert msgspec.json.decode(reply.body, type=ErrorBody).error.code == "session-not-found"


async def test_the_port_is_closed_with_the_gateway(gateway: RunningGateway, admin: AdminApi) -> None:
    await admin.get("node")
    gateway.begin_stop()
    await gateway.until_stopped()
    with pytest.raises(OSError, match="onnect"):
        await bounded("an answer", admin.get("node"))
