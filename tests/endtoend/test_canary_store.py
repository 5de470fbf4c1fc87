"""A session store that fails, or that somebody reads, gives away nothing of the sessions that are left in it."""

import base64
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.observe.log import ContentFreeHandler, JsonFormatter
from parley.store.directory import DirectoryStore
from parley.store.session_store import Taken
from tests.support.canary import CANARY, found_in, watched_log
from tests.support.client import Client, Ending
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.resuming import claim

SOUND = base64.b64decode("zzkanarienvogelx" * 2_000)
"""Two seconds whose base64 is the canary over and over."""
CREDENTIALS: dict[str, Any] = {"additional_headers": {"Authorization": f"Bearer {CANARY}"}}


@pytest.fixture(autouse=True)
def printed(log: LogWatch) -> Iterator[io.StringIO]:
    """All that the log prints, searched at the end for canaries; tests search it for tokens."""
    out = io.StringIO()
    handler = ContentFreeHandler(out)
    handler.setFormatter(JsonFormatter())
    with watched_log(log):
        logging.getLogger().addHandler(handler)
        yield out
        logging.getLogger().removeHandler(handler)


class Scene:
    """Gateways with one folder of sessions, and somebody who speaks to the first."""

    def __init__(self, start: GatewayStarter, folder: Path, printed: io.StringIO) -> None:
        self._start, self.folder, self._printed = start, folder, printed
        self.tokens: list[str] = []

    async def node(self) -> RunningGateway:
        store = {"kind": "directory", "directory": str(self.folder)}
        return await self._start(store=store, drain={"timeout_s": 1.2})

    async def speaking(self, node: RunningGateway) -> tuple[Client, str]:
        """A client in the midst of a turn of which audio and text are held, and its token."""
        client = await node.connect(**CREDENTIALS)
        await client.send("session.update", model=MODEL, parley={"resume": True})
        self.tokens.append(str((await client.receive())["resume"]["token"]))
        await client.start()
        await client.say(SOUND)
        await client.until("transcription.delta")
        return client, self.tokens[-1]

    async def left(self, node: RunningGateway) -> tuple[Ending, str]:
        """What somebody is told whose node goes away, and their token."""
        client, token = await self.speaking(node)
        node.begin_stop()
        ending = await client.until_closed()
        await node.until_stopped()
        return ending, token

    def check(self, *answers: object) -> None:
        """Nothing of it is in what was answered about the failure, in a file, or with a token in the log."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert found_in(*map(repr, answers), *(path.read_bytes() for path in files), *map(str, files)) == []
        secrets = [token.partition(".")[2] for token in self.tokens]
        # Of websockets there is only the tests' own client.
        lines = [line for line in self._printed.getvalue().splitlines() if "websockets" not in line]
        assert lines
        assert not [secret for secret in secrets if secret in "".join(lines)]
        assert not [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


@pytest.fixture
async def scene(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, printed: io.StringIO) -> Scene:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    return Scene(start_gateway, tmp_path / "sessions", printed)


def failing(error: type[Exception]) -> Any:
    """A call of a store that throws all that it is given, and what is said."""

    async def call(*given: object) -> None:
        raise error(f"{CANARY} {given!r}", *given) from ValueError(CANARY, *given)

    return call


def full(*_: object) -> None:
    raise OSError(28, "No space left on device", CANARY)


def said_last(ending: Ending) -> list[object]:
    """What came behind the turn's own words."""
    return [event for event in ending.events if not str(event["type"]).startswith("transcription")]


async def test_what_is_left_in_a_folder_is_noise(scene: Scene) -> None:
    ending, _ = await scene.left(await scene.node())
    assert ending.error_code == "moved"
    assert any(path.suffix == ".session" for path in scene.folder.iterdir())
    scene.check(*said_last(ending))


@pytest.mark.parametrize("error", [RuntimeError, OSError])
async def test_a_store_that_throws_what_it_should_keep_throws_nothing_out(
    scene: Scene, log: LogWatch, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    log.expect_errors("parley.session")
    node = await scene.node()
    monkeypatch.setattr(DirectoryStore, "put", failing(error))
    ending, _ = await scene.left(node)
    scene.check(*said_last(ending))


async def test_a_disk_that_is_full_is_told_of_without_the_names_of_files(
    scene: Scene, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await scene.node()
    monkeypatch.setattr(DirectoryStore, "_put", full)
    ending, _ = await scene.left(node)
    assert any("No space left" in message for message in log.messages)
    scene.check(*said_last(ending))


async def test_a_state_that_is_somebody_elses_content_is_refused_without_a_word_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await scene.left(await scene.node())

    async def forged(*_: object) -> Taken:
        return Taken(CANARY.encode() * 100, 60.0)

    monkeypatch.setattr(DirectoryStore, "take", forged)
    ending = await claim(await scene.node(), token, **CREDENTIALS)
    assert ending.error_code == "state-unreadable"
    scene.check(ending)


async def test_a_store_that_throws_what_it_should_give_throws_nothing_out(
    scene: Scene, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.expect_errors("parley")
    _, token = await scene.left(await scene.node())
    node = await scene.node()
    monkeypatch.setattr(DirectoryStore, "take", failing(RuntimeError))
    ending = await claim(node, token, **CREDENTIALS)
    assert ending.error_code == "internal-error"
    scene.check(ending)


async def test_a_token_that_nobody_left_anything_for_comes_out_nowhere(scene: Scene) -> None:
    ending = await claim(await scene.node(), f"p1.{CANARY}{'A' * 28}", **CREDENTIALS)
    assert ending.error_code == "unknown-session"
    scene.check(ending)
