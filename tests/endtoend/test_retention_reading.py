"""Who may read what was said, by the rules of a policy file: of a real session, over the admin API and the command."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from parley.access import watched_file
from parley.cli import main
from parley.server.settings.document import TenantSettings
from tests.endtoend.test_retention import LATER
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway

SAID = "zzkanarienvogel"
POLICY = """
[[rule]]
name = "own sessions"
who = ["*"]
actions = ["start", "resume"]

[[rule]]
name = "who looks after them"
who = ["role:watcher"]
actions = ["observe", "end"]

[[rule]]
name = "who reads them"
who = ["role:reader"]
actions = ["observe", "read"]
"""
NOBODY_READS_THIS = """
[[rule]]
name = "nobody reads this"
effect = "deny"
who = ["*"]
actions = ["read"]
tenants = ["acme"]
"""
PATHS = ("transcript", "transcript?form=text", "transcript?form=vtt", "audio")


class Scene:
    """A gateway with rules, and a session of the tenant acme of which text and audio are kept."""

    def __init__(self, gateway: RunningGateway, folder: Path, port: int, keys: dict[str, str]) -> None:
        self.gateway, self.folder, self.port, self.keys = gateway, folder, port, keys
        self.session_id = ""

    def admin(self, who: str) -> AdminApi:
        return AdminApi(self.port, self.keys[who])

    async def talk(self) -> None:
        """The session, to its end, and until its record is whole."""
        headers = {"Authorization": f"Bearer {self.keys['speaker']}"}
        client: Client = await self.gateway.connect(additional_headers=headers)
        parley = {"retention": "debug-audio", "consent": True}
        await client.send("session.update", model=MODEL, parley=parley)
        await client.send_turn(LATER)
        await client.until("transcription.done")
        self.session_id = client.session_id
        await client.close()

        async def is_whole() -> bool:
            reply = await self.admin("reader").ask("GET", f"sessions/{self.session_id}/transcript")
            return reply.status == 200 and bool(reply.json["complete"])

        await eventually("its record is whole", is_whole)

    async def read(self, who: str, path: str) -> tuple[int, bytes]:
        reply = await self.admin(who).ask("GET", f"sessions/{self.session_id}/{path}")
        return reply.status, reply.body

    async def command(self, who: str, *arguments: str) -> int:
        token = self.folder / f"{who}.token"
        token.write_text(self.keys[who])
        options = ["--admin", f"http://127.0.0.1:{self.port}", "--token-file", str(token)]
        return await asyncio.to_thread(main.run, ["sessions", *arguments, *options])

    async def audited(self, action: str) -> list[dict[str, Any]]:
        """What the audit log has of it, when all is over."""
        self.gateway.begin_stop()
        await self.gateway.until_stopped()
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        assert SAID not in "".join(lines)
        return [found for line in lines if (found := json.loads(line))["action"] == action]


def _keys(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    whose = {
        "speaker": ["--tenant", "acme"],
        "watcher": ["--tenant", "acme", "--role", "watcher"],
        "reader": ["--tenant", "acme", "--role", "reader"],
        "stranger": ["--tenant", "umbrella", "--role", "reader", "--role", "watcher"],
        "operator": ["--tenant", "acme", "--role", "operator"],
    }
    made = {}
    for name, options in whose.items():
        assert main.run(["keys", "create", "--file", str(path), "--name", name, *options]) == 0
        made[name] = capsys.readouterr().out.strip()
    return made


@pytest.fixture
def policy() -> str:
    return POLICY


@pytest.fixture
async def scene(
    start_gateway: GatewayStarter,
    vllm: FakeVllm,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
) -> Scene:
    monkeypatch.setattr(watched_file, "LOOK_INTERVAL_S", 0.0)
    vllm.speech = lambda turn, step: f" {SAID}{turn}" if step == 0 else ""
    keys = _keys(tmp_path / "keys.toml", capsys)
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "retention.key").write_text("ab" * 32)
    (tmp_path / "retention.key").chmod(0o600)
    port = free_port()
    gateway = await start_gateway(
        access={"keys_file": str(tmp_path / "keys.toml"), "policy_file": str(tmp_path / "policy.toml")},
        admin={"port": port},
        audit={"file": str(tmp_path / "audit.jsonl")},
        retention={"directory": str(tmp_path / "kept"), "key_file": str(tmp_path / "retention.key")},
        tenants=(TenantSettings(name="acme", retention="none", retention_max="debug-audio"),),
    )
    scene = Scene(gateway, tmp_path, port, keys)
    await scene.talk()
    return scene


async def test_who_may_observe_and_not_read_sees_that_there_is_something_and_nothing_of_it(scene: Scene) -> None:
    (one,) = (await scene.admin("watcher").get("retained"))["retained"]
    assert one["id"] == scene.session_id
    for path in PATHS:
        status, body = await scene.read("watcher", path)
        assert (status, json.loads(body)["error"]["code"]) == (403, "forbidden"), path
        assert SAID.encode() not in body


async def test_who_may_read_gets_all_of_it(scene: Scene) -> None:
    for path in PATHS:
        status, body = await scene.read("reader", path)
        assert status == 200, path
        assert (SAID.encode() in body) is not (path == "audio")
    assert LATER in (await scene.read("reader", "audio"))[1]


@pytest.mark.parametrize("who", ["speaker", "stranger", "operator"])
async def test_who_may_not_even_observe_is_told_that_there_is_nothing(scene: Scene, who: str) -> None:
    # Who said it is no exception, and with rules of one's own the role `operator` is a role as any other.
    missing = await scene.admin(who).ask("GET", f"sessions/sess-{'0' * 32}/transcript")
    for path in PATHS:
        status, body = await scene.read(who, path)
        assert status == 404, path
        assert json.loads(body) == missing.json
    assert (await scene.admin(who).get("retained"))["retained"] == []


async def test_each_reading_and_each_try_is_audited_with_whose_it_was(scene: Scene) -> None:
    for who in ("watcher", "stranger", "reader"):
        await scene.read(who, "transcript")
    await scene.read("reader", "audio")
    lines = await scene.audited("read")
    seen = [(line["actor"], line["outcome"], line.get("facts", {}).get("route", "")) for line in lines]
    route = "GET /sessions/{id}/transcript"
    # The first ones are the wait for the record.
    assert seen[-4:] == [
        ("key:watcher", "forbidden", ""),
        ("key:stranger", "nothing-retained", route),
        ("key:reader", "ok", route),
        ("key:reader", "ok", "GET /sessions/{id}/audio"),
    ]
    assert {line["session"] for line in lines[-3:]} == {scene.session_id}
    assert {line["tenant"] for line in lines[-2:]} == {"acme"}


async def test_a_rule_that_denies_holds_at_once_for_who_could_read_before(scene: Scene) -> None:
    (scene.folder / "policy.toml").write_text(POLICY + NOBODY_READS_THIS)
    status, body = await scene.read("reader", "transcript")
    assert (status, json.loads(body)["error"]["code"]) == (403, "forbidden")
    (scene.folder / "policy.toml").write_text(POLICY)
    assert (await scene.read("reader", "transcript"))[0] == 200


async def test_the_command_shows_it_to_who_may_read_and_to_nobody_else(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert await scene.command("reader", "read", scene.session_id) == 0
    assert SAID in capsys.readouterr().out
    for who in ("watcher", "stranger", "operator"):
        for more in ([], ["--json"], ["--audio", str(tmp_path / f"{who}.wav")]):
            assert await scene.command(who, "read", scene.session_id, *more) == 1
            told = capsys.readouterr()
            assert SAID not in told.out + told.err
        assert not (tmp_path / f"{who}.wav").exists()


async def test_policy_check_says_the_same(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(scene.folder / "policy.toml")]
    for role, status in (("watcher", 1), ("reader", 0), ("operator", 1)):
        given = ["policy", "check", f"key:{role}", "read", "--tenant", "acme", "--role", role, *file]
        assert main.run(given) == status, capsys.readouterr().out
