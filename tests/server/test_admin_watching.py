"""Watching a node over the admin port: what is told, to whom, and what it ends with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from parley.access.caller import Caller
from parley.access.gate import Gate
from parley.server.admin.asking import Asker
from parley.server.admin.inventory import Found, Inventory
from parley.server.admin.timelines import EndedList, Timelines
from parley.server.admin.watching import WATCHERS_MAX, Watching
from tests.server.test_trust import KeyFile
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.raw import request
from tests.support.sound import pcm
from tests.support.waiting import bounded

TOKEN = "0123456789abcdef-token"

WHOSE = [("looking", "acme"), ("own", "acme"), ("other", "umbrella")]

Event = tuple[str, Any]


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


class Watcher:
    """Reads a watch, event by event."""

    def __init__(self, port: int, *, token: str = "", interval_s: float = 0.5) -> None:
        self._port = port
        self._token = token
        self._interval_s = interval_s
        self.status = 0
        self.head = b""

    async def __aenter__(self) -> "Watcher":
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        headers = {"Host": f"127.0.0.1:{self._port}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self.writer.write(request(f"/admin/v1/watch?interval_s={self._interval_s}", headers, "GET"))
        self.head = await bounded("a head", self._reader.readuntil(b"\r\n\r\n"))
        self.status = int(self.head.split(b" ", 2)[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def events(self) -> AsyncIterator[Event]:
        """The events, to the end; chunks of HTTP are what aiohttp writes at once."""
        text = b""
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            text += (await self._reader.readexactly(size + 2))[:-2]
            while b"\n\n" in text:
                block, _, text = text.partition(b"\n\n")
                fields = dict(line.split(b": ", 1) for line in block.splitlines() if b": " in line)
                if b"event" in fields:
                    yield fields[b"event"].decode(), json.loads(fields[b"data"])
            if not size:
                return

    async def next(self) -> Event:
        """The next event."""
        async with aclosing(self.events()) as events:  # type: ignore[type-var]
            return await bounded("an event", anext(events))

    async def until(self, name: str) -> Any:
        """The data of the next event of this name."""

        async def find() -> Any:
            async with aclosing(self.events()) as events:  # type: ignore[type-var]
                async for found, data in events:
                    if found == name:
                        return data
            raise AssertionError(f"it ended without {name}")

        return await bounded(name, find())


def port_of(admin: AdminApi) -> int:
    return int(admin.url.rpartition(":")[2])


# ---- what is told


async def test_a_watch_begins_with_the_node_its_model_servers_and_all_sessions(
    gateway: RunningGateway, admin: AdminApi
) -> None:
    client = await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        assert watcher.status == 200
        assert b"content-type: text/event-stream" in watcher.head.lower()
        assert b"cache-control: no-store" in watcher.head.lower()
        assert (await watcher.until("node"))["live"] == 1
        assert len((await watcher.until("upstreams"))["upstreams"]) == 1
        first = await watcher.until("sessions")
    assert [one["id"] for one in first["sessions"]] == [client.session_id]
    assert (first["full"], first["removed"], first["total"], first["shown"]) == (True, [], 1, 1)


async def test_what_is_told_of_a_session_is_what_the_route_for_sessions_tells(
    gateway: RunningGateway, admin: AdminApi
) -> None:
    client = await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        (told,) = (await watcher.until("sessions"))["sessions"]
    one = await admin.get(f"sessions/{client.session_id}")
    assert set(told) == set(one)
    assert (told["id"], told["began_s"], told["transport"]) == (one["id"], one["began_s"], "websocket")


async def test_a_session_that_begins_later_is_told_alone(gateway: RunningGateway, admin: AdminApi) -> None:
    first = await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        await watcher.until("sessions")
        second = await gateway.open()
        told = await watcher.until("sessions")
        while second.session_id not in [one["id"] for one in told["sessions"]]:
            told = await watcher.until("sessions")
    assert not told["full"]
    assert told["total"] == 2
    assert first.session_id not in [one["id"] for one in told["sessions"]]


async def test_a_session_that_does_not_change_is_not_told_again(gateway: RunningGateway, admin: AdminApi) -> None:
    await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        await watcher.until("sessions")
        names: list[str] = []
        async with aclosing(watcher.events()) as events:  # type: ignore[type-var]
            while names.count("node") < 4:
                name, _ = await bounded("an event", anext(events))
                names.append(name)
    assert names.count("sessions") <= 1, "its first stream may still have opened"


async def test_a_session_that_ends_is_told_with_its_outcome_and_is_gone(
    gateway: RunningGateway, admin: AdminApi
) -> None:
    client = await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        await watcher.until("sessions")
        await admin.post(f"sessions/{client.session_id}/end")
        (ended,) = (await watcher.until("ended"))["sessions"]
        told = await watcher.until("sessions")
        while not told["removed"]:
            told = await watcher.until("sessions")
    assert (ended["id"], ended["outcome"]) == (client.session_id, "ended-by-operator")
    assert (told["removed"], told["total"]) == ([client.session_id], 0)


async def test_of_too_many_sessions_the_oldest_are_told_and_how_many_there_are(
    gateway: RunningGateway, admin: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.server.admin.watching.SESSIONS_MAX", 2)
    for _ in range(3):
        await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        told = await watcher.until("sessions")
    assert (len(told["sessions"]), told["shown"], told["total"]) == (2, 2, 3)


async def test_sessions_are_told_in_pieces(
    gateway: RunningGateway, admin: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.server.admin.watching._SESSIONS_PER_EVENT", 1)
    clients = [await gateway.open() for _ in range(2)]
    async with Watcher(port_of(admin)) as watcher:
        pieces = [await watcher.until("sessions") for _ in clients]
    assert [piece["full"] for piece in pieces] == [True, False]
    assert {one["id"] for piece in pieces for one in piece["sessions"]} == {client.session_id for client in clients}


async def test_watches_of_one_caller_share_a_look_for_a_moment() -> None:
    class NoSessions:
        def viewer(self) -> None: ...

        def by_age(self) -> list[Found]:
            return []

    class NoTimelines:
        def ended(self, _is_seen: object) -> EndedList:
            return EndedList([])

    now = 100.0
    watching = Watching(cast(Inventory, NoSessions()), cast(Timelines, NoTimelines()), lambda: now)
    one, other = Asker(Caller(principal="one"), Gate()), Asker(Caller(principal="other"), Gate())
    first = await watching.snapshot(one)
    assert await watching.snapshot(one) is first
    assert await watching.snapshot(other) is not first
    now += 0.5
    assert await watching.snapshot(one) is not first


async def test_sessions_that_ended_before_are_told_at_the_start(gateway: RunningGateway, admin: AdminApi) -> None:
    client = await gateway.open()
    await client.close()

    async def is_over() -> bool:
        return bool((await admin.get("ended"))["sessions"])

    await eventually("it has ended", is_over)
    async with Watcher(port_of(admin)) as watcher:
        (ended,) = (await watcher.until("ended"))["sessions"]
    assert ended["id"] == client.session_id


async def test_nothing_that_was_said_is_told(gateway: RunningGateway, admin: AdminApi, vllm: FakeVllm) -> None:
    client = await gateway.open()
    async with Watcher(port_of(admin)) as watcher:
        await watcher.until("sessions")
        await client.start()
        await client.say(pcm(0.8))
        (*_, delta) = await client.until("transcription.delta")
        told = json.dumps([await watcher.until("sessions"), await watcher.until("node")])
    assert delta["delta"].strip()
    assert delta["delta"].strip() not in told


# ---- who may, and how many


async def test_who_may_observe_one_tenant_is_told_of_its_sessions_and_nothing_of_the_node(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.toml")
    looking, own, other = (keys.add(name, tenant=tenant) for name, tenant in WHOSE)
    (tmp_path / "policy.toml").write_text(
        '[[rule]]\nname = "begin"\nwho = ["*"]\nactions = ["start"]\n'
        '[[rule]]\nname = "look"\nwho = ["key:looking"]\nactions = ["observe"]\n'
    )
    port = free_port()
    gateway = await start_gateway(
        admin={"port": port}, access={"keys_file": str(keys.path), "policy_file": str(tmp_path / "policy.toml")}
    )
    seen = await gateway.connect(additional_headers={"Authorization": f"Bearer {own}"})
    await gateway.connect(additional_headers={"Authorization": f"Bearer {other}"})
    async with Watcher(port, token=looking) as watcher:
        name, told = await watcher.next()
    assert (name, told["total"]) == ("sessions", 1)
    assert [one["id"] for one in told["sessions"]] == [seen.session_id]


@pytest.mark.parametrize("interval", ["0.4", "31", "soon", "nan"])
async def test_an_interval_out_of_bounds_is_refused(admin: AdminApi, interval: str) -> None:
    reply = await admin.ask("GET", f"watch?interval_s={interval}")
    assert (reply.status, reply.code) == (400, "bad-request")


async def test_so_many_may_watch_and_one_that_goes_makes_room(admin: AdminApi) -> None:
    async with AsyncExitStack() as stack:
        first = await Watcher(port_of(admin)).__aenter__()
        for _ in range(WATCHERS_MAX - 1):
            await stack.enter_async_context(Watcher(port_of(admin)))
        refused = await admin.ask("GET", "watch")
        assert (refused.status, refused.code) == (503, "at-capacity")
        await first.__aexit__()

        async def is_let_in() -> bool:
            async with Watcher(port_of(admin)) as another:
                return another.status == 200

        await eventually("there is room again", is_let_in)


async def test_a_watch_ends_with_the_node_and_says_so(gateway: RunningGateway, admin: AdminApi) -> None:
    async with Watcher(port_of(admin), interval_s=30) as watcher:
        await watcher.until("node")
        gateway.begin_stop()
        assert await watcher.until("end") == {"reason": "stopping"}
        await gateway.until_stopped()


async def test_a_watch_ends_when_the_credential_is_to_be_shown_again(
    admin: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.server.admin.watching.WATCH_MAX_S", 0.01)
    async with Watcher(port_of(admin), interval_s=30) as watcher:
        assert await watcher.until("end") == {"reason": "renew"}


async def test_a_reader_that_takes_nothing_is_cut_off(admin: AdminApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.server.admin.port._READER_TIMEOUT_S", 0.05)
    monkeypatch.setattr("parley.server.admin.watching.WATCHERS_MAX", 1)
    monkeypatch.setattr("parley.server.admin.watching._event", lambda name, _: b"event: %s\n\n" % name.encode() * 2**18)
    async with Watcher(port_of(admin)):

        async def is_let_in() -> bool:
            async with Watcher(port_of(admin)) as another:
                return another.status == 200

        await eventually("there is room again", is_let_in)


# ---- what one may do


async def test_whoever_asks_on_an_open_port_may_do_what_operators_may(gateway: RunningGateway, admin: AdminApi) -> None:
    client = await gateway.open()
    me = await admin.get(f"me?session={client.session_id}")
    assert me == {
        "name": "operator",
        "anonymous": True,
        "node": ["observe", "drain"],
        "session": ["observe", "end", "move"],
    }


async def test_of_a_session_that_is_not_there_nobody_is_told_anything(admin: AdminApi) -> None:
    reply = await admin.ask("GET", "me?session=sess-none")
    assert (reply.status, reply.code) == (404, "session-not-found")


async def test_what_a_policy_allows_is_what_one_is_told(start_gateway: GatewayStarter, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "policy.toml").write_text(
        '[[rule]]\nname = "look"\nwho = ["operator"]\nactions = ["observe", "read"]\ntenants = ["*"]\n'
        '[[rule]]\nname = "all"\nwho = ["*"]\nactions = ["start"]\n'
    )
    port = free_port()
    await start_gateway(
        admin={"port": port, "token_file": str(tmp_path / "token")},
        access={"policy_file": str(tmp_path / "policy.toml"), "anonymous": True},
    )
    me = await AdminApi(port, TOKEN).get("me")
    assert (me["node"], me["anonymous"]) == (["observe"], False)


# ---- the page


@pytest.mark.parametrize("path", ["/console", "/static/console/main.js", "/static/shared/theme.css"])
async def test_the_page_is_on_the_admin_port_for_anybody(
    start_gateway: GatewayStarter, tmp_path: Path, path: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    port = free_port()
    await start_gateway(admin={"port": port, "token_file": str(tmp_path / "token")})
    reply = await AdminApi(port).ask("GET", f"../..{path}")
    assert reply.status == 200
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


async def test_the_page_is_not_on_the_port_of_clients(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(admin={"port": free_port()})
    reply = await AdminApi(gateway.port).ask("GET", "../../console")
    assert reply.status == 404
