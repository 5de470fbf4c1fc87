"""What an operator's commands do with what is kept of sessions, against a gateway of their own."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.cli import main
from parley.core.content import Text
from parley.store.retention.archive import Archive
from parley.store.retention.entry import KeptAudio, KeptTurn
from parley.store.retention.envelope import FileEnvelope
from tests.server.test_admin_retained import SOUND, Scene
from tests.store.retention.records import key_file
from tests.support.admin import AdminApi, free_port
from tests.support.audit import AuditNotes
from tests.support.gateway import GatewayStarter
from tests.support.sound import wav

ONE, TWO, OTHER = (f"sess-{letter * 32}" for letter in "abc")


@pytest.fixture
async def scene(start_gateway: GatewayStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    key, port = key_file(tmp_path), free_port()
    monkeypatch.setenv("PARLEY_ADMIN_URL", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("PARLEY_ADMIN_TOKEN_FILE", raising=False)
    retention = {"directory": str(tmp_path / "kept"), "key_file": str(key)}
    gateway = await start_gateway(admin={"port": port}, retention=retention)
    archive = Archive(tmp_path / "kept", FileEnvelope(key))
    scene = Scene(gateway, AdminApi(port), archive, AuditNotes())
    scene.allow("observe", "read", "end")
    yield scene
    archive.close()


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main.run, arguments)


def turn(item: int, text: str) -> KeptTurn:
    return KeptTurn(item, 3_600 * 16_000 * item, 3_601 * 16_000 * item, Text.of(text))


async def test_what_is_kept_is_listed_a_line_each(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("sessions", "kept") == 0
    assert capsys.readouterr().out == "nothing is kept\n"
    await scene.keep(ONE, turn(1, "one"))
    await scene.keep(TWO, turn(1, "two"), expires_s=4e9)
    assert await run("sessions", "kept") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    first, second = sorted(lines)
    assert header.split() == ["SESSION", "KEPT", "TENANT", "BEGAN", "GOES", "SIZE"]
    assert ("when it is purged" in first, "acme" in first, "2096" in second) == (True, True, True)
    assert await run("sessions", "kept", "--json") == 0
    assert {one["id"] for one in json.loads(capsys.readouterr().out)["retained"]} == {ONE, TWO}


async def test_a_transcript_is_shown_with_where_each_turn_began(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    await scene.keep(ONE, turn(1, " one\x1b[2J\ntwo"), turn(2, " three"))
    assert await run("sessions", "read", "aaaa") == 0
    assert capsys.readouterr().out == "1:00:00  one [2J two\n2:00:00  three\n"


async def test_a_long_transcript_is_fetched_page_by_page(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.server.retained._PAGE_BYTES", 1)
    await scene.keep(ONE, *(turn(item, str(item)) for item in (1, 2, 3)))
    assert await run("sessions", "read", ONE, "--json") == 0
    view = json.loads(capsys.readouterr().out)
    assert [one["item"] for one in view["turns"]] == [1, 2, 3]
    assert view["next"] == 0


async def test_audio_is_written_to_a_file_of_ones_own(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await scene.keep(ONE, KeptAudio(0, SOUND))
    path = tmp_path / "one.wav"
    assert await run("sessions", "read", ONE, "--audio", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: 0.2 MiB\n"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (wav(SOUND), 0o600)
    assert await run("sessions", "read", ONE, "--audio", str(path)) == 2
    assert "unwritable-output" in capsys.readouterr().err


async def test_records_are_shredded_by_session_by_tenant_and_by_time(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for session_id, tenant, expires_s in ((ONE, "acme", 0.0), (TWO, "other", 0.0), (OTHER, "acme", 1.0)):
        await scene.keep(session_id, turn(1, "text"), tenant=tenant, expires_s=expires_s)
    for arguments in (["aaaa"], ["--tenant", "other"], ["--expired"]):
        assert await run("sessions", "purge", *arguments) == 0
        assert capsys.readouterr().out == "1 record shredded\n"
    assert await run("sessions", "purge", "--tenant", "other") == 0
    assert capsys.readouterr().out == "nothing was kept\n"
    assert await run("sessions", "purge", "--expired", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"records": 0}


async def test_a_transcript_that_is_not_whole_says_so(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    await scene.keep(ONE, turn(1, "one"), reason="continued")
    assert await run("sessions", "read", ONE) == 0
    assert "not all of it is here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["read"], 2, "takes the ID of a session"),
        (["kept", "aaaa"], 2, "takes no ID"),
        (["purge"], 2, "takes one of these"),
        (["purge", "aaaa", "--expired"], 2, "takes one of these"),
        (["ls", "--expired"], 2, "are for `sessions purge`"),
        (["read", "aaa"], 2, "4 characters"),
        (["read", "aaaa"], 2, "several ids begin with aaaa"),
        (["read", "zzzz"], 1, "nothing-retained"),
        (["read", OTHER], 1, "nothing-retained"),
    ],
)
async def test_a_mistake_is_told_with_what_to_do(
    scene: Scene, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    for session_id in (ONE, f"sess-{'a' * 31}b"):
        await scene.keep(session_id, turn(1, "text"))
    assert await run("sessions", *arguments) == code
    assert told in capsys.readouterr().err


async def test_whoever_may_not_read_is_told_who_decides(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    await scene.keep(ONE, turn(1, "text"))
    scene.allow("observe")
    assert await run("sessions", "read", ONE) == 1
    assert "access.policy_file" in capsys.readouterr().err
