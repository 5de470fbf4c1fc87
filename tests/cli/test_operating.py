"""The operator's commands, against a gateway of their own."""

import asyncio
import json
from pathlib import Path

import pytest

from parley.cli import main
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm

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


async def test_a_session_is_ended(client: Client, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions", "end", await session_id(port)) == 0
    assert (await client.until_closed()).error_code == "ended-by-operator"
    assert "was ended" in capsys.readouterr().out


async def test_a_session_that_can_not_move_is_told_so(
    client: Client, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("sessions", "move", await session_id(port), "--within", "5") == 0
    assert "no other one is ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sessions", "show", "beefbeef"), 1, "session-not-found"),
        (("sessions", "show", "be"), 2, "4 characters"),
        (("sessions", "show"), 2, "takes the ID"),
        (("sessions", "ls", "beef"), 2, "takes no ID"),
        (("upstreams", "drain"), 2, "takes the NAME"),
        (("upstreams", "drain", "nobody"), 1, "upstream-not-found"),
        (("drain", "--undo"), 1, "not-draining"),
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
    assert "not-found" in capsys.readouterr().err


async def test_a_token_comes_from_a_file_and_is_not_repeated(
    start_gateway: GatewayStarter, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "wrong").write_text("another token, wrong")
    await start_gateway(admin={"port": port, "token_file": str(tmp_path / "token")})
    assert await run("sessions", "--token-file", str(tmp_path / "token")) == 0
    assert await run("sessions", "--token-file", str(tmp_path / "wrong")) == 1
    told = capsys.readouterr().err
    assert "--token-file" in told
    assert "another" not in told.replace("or another one", "")
