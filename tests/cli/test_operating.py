"""The operator's commands, against a gateway of their own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from parley.cli import main
from parley.cli.admin_client import AdminClient
from parley.cli.operating import load_of
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm
from tests.support.waiting import bounded

TOKEN = "0123456789abcdef-token"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Of the admin API, which the commands find in their environment."""
    port = free_port()
    monkeypatch.setenv("PARLEY_ADMIN_URL", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("PARLEY_ADMIN_TOKEN_FILE", raising=False)
    return port


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, port: int) -> RunningGateway:
    return await start_gateway(admin={"port": port})


@pytest.fixture
async def client(gateway: RunningGateway) -> Client:
    """A session with a turn under way."""
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    return client


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main.run, arguments)


async def session_id(port: int) -> str:
    (one,) = (await AdminApi(port).get("sessions"))["sessions"]
    return str(one["id"])


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers everybody so: its URL, and what came."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came


async def test_sessions_are_listed_one_a_line(client: Client, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions") == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["SESSION", "STATE", "AGE"]
    assert (await session_id(port)).startswith(line.split()[0])
    assert "live" in line.split()


async def test_a_node_without_sessions_says_so(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions") == 0
    assert capsys.readouterr().out == "no sessions\n"


async def test_the_answer_is_there_for_programs(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"] == 1


async def test_the_beginning_of_an_id_will_do(client: Client, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    whole = await session_id(port)
    for given in (whole, whole[:10], whole[5:10]):
        assert await run("sessions", "show", given) == 0
        assert whole in capsys.readouterr().out


async def test_an_id_that_several_begin_with_is_answered_with_theirs(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which ids there are is chance's to say, so it is asked for what all of them begin with.
    monkeypatch.setattr("parley.cli.admin_client._PREFIX_MIN_CHARS", 0)
    for _ in range(5):
        await gateway.open()
    assert await run("sessions", "end", "sess-") == 2
    told = capsys.readouterr().err
    assert "give more of it: sess-" in told
    assert told.count("sess-") == 1 + 4
    assert told.rstrip().endswith(", ...")


async def test_an_id_is_completed_by_the_node(
    client: Client, port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked = await session_id(port), []
    get = AdminClient.get

    def watched(self: AdminClient, path: str, **query: object) -> object:
        asked.append((path, query.get("prefix")))
        return get(self, path, **query)

    monkeypatch.setattr(AdminClient, "get", watched)
    assert await run("sessions", "show", whole[5:11]) == 0
    assert asked[:2] == [("/sessions", whole[:11]), (f"/sessions/{whole}/timeline", None)]


async def test_a_list_that_was_cut_off_says_how_to_see_more(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        await gateway.open()
    assert await run("sessions", "--limit", "1") == 0
    assert capsys.readouterr().out.endswith("the first 1 of 2; --limit shows more\n")
    assert await run("sessions", "--state", "live") == 0
    assert "--limit" not in capsys.readouterr().out


async def test_a_session_is_ended(client: Client, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions", "end", await session_id(port)) == 0
    assert (await client.until_closed()).error_code == "ended-by-operator"
    assert "was ended" in capsys.readouterr().out


async def test_a_session_that_can_not_move_is_told_so(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("sessions", "move", await session_id(port), "--within", "5") == 0
    assert "no other is ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sessions", "show", "beefbeef"), 1, "session-not-found"),
        (("sessions", "show", "be"), 2, "4 characters"),
        (("sessions", "show"), 2, "takes the ID"),
        (("sessions", "ls", "beef"), 2, "takes no ID"),
        (("upstreams", "drain"), 2, "takes the NAME"),
        (
            ("upstreams", "drain", "nobody"),
            1,
            "upstream-not-found: no model server here has the name nobody; here are 127.",
        ),
        (("drain", "--undo"), 1, "not-draining: the node is not being drained"),
        (("drain", "--undo", "--wait"), 2, "--undo takes no"),
        (("sessions", "--admin", "nowhere"), 2, "must be a URL"),
        (("sessions", "--token-file", "/there/is/no/such/file"), 2, "token-unreadable"),
    ],
)
async def test_a_mistake_is_told_with_what_to_do(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert await run(*arguments) == status
    assert said in capsys.readouterr().err


async def test_a_model_server_is_drained_until_it_is_empty_and_used_again(
    gateway: RunningGateway, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (member,) = (await AdminApi(port).get("upstreams"))["upstreams"]
    assert await run("upstreams", "drain", member["name"], "--wait", "--timeout", "5") == 0
    assert "is drained and empty" in capsys.readouterr().out
    assert await run("upstreams") == 0
    assert "draining" in capsys.readouterr().out
    assert await run("upstreams", "undrain", member["name"]) == 0
    assert await run("upstreams") == 0
    assert "draining" not in capsys.readouterr().out


async def test_a_model_server_that_is_not_drained_is_not_said_to_be_unknown(
    gateway: RunningGateway, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (member,) = (await AdminApi(port).get("upstreams"))["upstreams"]
    assert await run("upstreams", "undrain", member["name"]) == 1
    assert f"not-draining: {member['name']} is not being drained" in capsys.readouterr().err


async def test_a_model_server_whose_streams_have_nowhere_to_go_is_told_once(
    client: Client, port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.cli.operating._MARGIN_S", 0.0)
    (member,) = (await AdminApi(port).get("upstreams"))["upstreams"]
    assert await run("upstreams", "drain", member["name"], "--wait", "--timeout", "0") == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{member['name']} is being drained: 1 stream to leave it"]
    assert f"`parley upstreams undrain {member['name']}`" in told.err


async def test_a_model_server_is_shown_with_its_kind_its_release_and_its_own_load(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("upstreams") == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[4:8] == ["P95", "KIND", "VERSION", "ENGINE"]
    assert "vllm" in line.split()


@pytest.mark.parametrize(
    ("engine", "shown"),
    [
        (None, "-"),
        ({"running": 3, "waiting": 1, "kv_cache_usage": 0.256}, "3 run, 1 wait, KV 26%"),
    ],
)
def test_what_a_model_server_says_of_itself_is_short(engine: dict[str, Any] | None, shown: str) -> None:
    assert load_of(engine) == shown


async def test_a_drain_that_was_asked_for_twice_keeps_its_times(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("drain", "--timeout", "600") == 0
    assert "the node is being drained: 1 session to finish or to move within 600 s;" in capsys.readouterr().out
    assert await run("drain", "--timeout", "5") == 0
    assert "being drained already, and its times stay as they are: 1 session" in capsys.readouterr().out


async def test_programs_are_told_how_a_drain_stands_and_not_how_it_stood(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("drain", "--timeout", "600", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] in ("settling", "draining")
    assert await run("drain", "--undo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "serving"


async def test_a_wait_ends_when_the_drain_is_taken_back(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = AdminApi(port)
    waiting = asyncio.create_task(run("drain", "--timeout", "600", "--wait"))

    async def is_draining() -> bool:
        return bool((await admin.get("node"))["state"] == "draining")

    await eventually("it drains", is_draining)
    assert (await admin.ask("DELETE", "drain")).status == 200
    assert await bounded("the command ends", waiting) == 1
    assert "taken back" in capsys.readouterr().err


async def test_a_node_is_drained_until_it_is_empty_and_takes_sessions_again(
    gateway: RunningGateway, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = await gateway.open()
    assert await run("drain", "--wait", "--timeout", "30") == 0
    assert (await idle.until_closed()).error_code == "shutting-down"
    assert "the node is empty: 0 sessions moved, 1 ended" in capsys.readouterr().out
    assert await run("drain", "--undo") == 0

    async def is_ready() -> bool:
        return bool((await AdminApi(port).get("node"))["state"] == "ready")

    await eventually("it is ready again", is_ready)
    await gateway.open()


async def test_nothing_that_listens_is_told_with_how_to_open_it(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("upstreams") == 1
    assert "parley serve --admin" in capsys.readouterr().err


async def test_another_server_is_not_taken_for_an_admin_api(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await run("upstreams", "--admin", gateway.http_url) == 1
    assert f"admin-unknown: {gateway.http_url} is a Parley server, but not its admin API" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_no_admin_api_is_told_so(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    async with answering(answer) as (url, _):
        assert await run("sessions", "--admin", url) == 1
    assert f"admin-unknown: what listens on {url} is no admin API" in capsys.readouterr().err


async def test_nobody_is_followed_elsewhere_with_the_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (elsewhere, came):
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(redirect.encode()) as (url, _):
            assert await run("sessions", "--admin", url, "--token-file", str(tmp_path / "token")) == 1
    assert "it answered 302" in capsys.readouterr().err
    assert came == []


async def test_tls_where_there_is_none_is_told_so(
    gateway: RunningGateway, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("sessions", "--admin", f"https://127.0.0.1:{port}") == 1
    assert "give an http:// URL" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "two\nlines", "\u00fcber-secret-token"])
async def test_a_file_without_a_token_is_told_so_without_its_content(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(content)
    assert await run("sessions", "--token-file", str(tmp_path / "token")) == 2
    told = capsys.readouterr().err
    assert "holds no token" in told
    assert not content or content not in told


async def test_a_token_comes_from_a_file_and_is_not_repeated(
    start_gateway: GatewayStarter, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "wrong").write_text("another token, wrong")
    await start_gateway(admin={"port": port, "token_file": str(tmp_path / "token")})
    assert await run("sessions", "--token-file", str(tmp_path / "token")) == 0
    assert await run("sessions", "--token-file", str(tmp_path / "wrong")) == 1
    told = capsys.readouterr().err
    assert "is not this server's" in told
    assert "another" not in told
    assert await run("sessions") == 1
    assert "none was given" in capsys.readouterr().err


async def test_a_session_is_drawn_with_what_happened_in_it(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("sessions", "show", await session_id(port)) == 0
    out = capsys.readouterr().out
    assert "━" in next(line for line in out.splitlines() if line.startswith("turn 1"))
    assert "━" in next(line for line in out.splitlines() if line.startswith("leg 1"))


async def test_a_session_that_ended_lately_is_listed_and_shown(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await session_id(port)
    await client.close()

    async def has_ended() -> bool:
        return bool((await AdminApi(port).get("ended"))["sessions"])

    await eventually("the session is among those that ended", has_ended)
    assert await run("sessions", "ended") == 0
    assert name[:17] in capsys.readouterr().out
    assert await run("sessions", "show", name[:12]) == 0
    out = capsys.readouterr().out
    assert "ended: client-closed" in out
    assert "■" in out


async def test_a_session_is_shown_with_its_timeline_to_programs(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await session_id(port)
    assert await run("sessions", "show", name, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["session"]["id"] == shown["timeline"]["session"]["id"] == name


async def test_watching_needs_a_terminal(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions", "watch") == 2
    assert "needs a terminal" in capsys.readouterr().err


async def test_a_node_is_shown_in_a_few_lines(client: Client, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("node") == 0
    out = capsys.readouterr().out
    assert "state         ready" in out
    assert "1 of 1 model servers ready, 1 streams" in out


async def test_a_node_is_shown_to_programs(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("node", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["node"]["state"], len(shown["pools"])) == ("ready", 1)
