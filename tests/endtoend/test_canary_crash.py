"""A gateway that crashes, with somebody speaking to it, says and leaves nothing of what it knew."""

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from parley.access.keys.api_key import ApiKey, hash_of, make, written
from parley.access.keys.key_store import changing
from tests.support.canary import CANARY, found_in
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.waiting import bounded

SOUND = base64.b64decode("zzkanarienvogelx" * 2_000)
"""Sound whose base64 is the canary over and over."""
UPSTREAM_KEY = f"{CANARY}-for-the-model-server"
_LISTENING = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")

_BREAKING = """
import asyncio, sys, threading
from parley.cli.main import main
from parley.core.supply import Supply
from parley.server import app
from parley.server.runner import SessionRunner

real_audio, real_stop, seen = SessionRunner.receive_audio, app.Gateway.stop, []

class Final:
    def __init__(self, *known): self.known = known
    def __del__(self): raise ValueError(*self.known)

def fail(*known): raise RuntimeError(*known, repr(known))

async def fail_later(*known):
    try: raise OSError(5, *known)
    except OSError as error: raise KeyError(*known) from error

def receive_audio(self, generation, audio, *more):
    seen.append(audio.payload.decode())
    if len(seen) == 1:
        loop = asyncio.get_running_loop()
        loop.call_soon(fail, *seen)
        loop.call_exception_handler({"message": "it failed", "exception": RuntimeError(*seen), "audio": seen})
        # Nobody asks what became of it.
        loop.create_task(fail_later(*seen))
        thread = threading.Thread(target=fail, args=tuple(seen), name=seen[0][:40])
        thread.start(); thread.join()
        Final(*seen)
    real_audio(self, generation, audio, *more)

def take_delta(self, leg, text, now):
    seen.append(text.decode())
    raise RuntimeError(text.decode(), seen)

async def stop(self):
    await real_stop(self)
    raise ExceptionGroup(seen[-1], [RuntimeError(*seen), KeyError(seen[0])])

SessionRunner.receive_audio, Supply.take_delta, app.Gateway.stop = receive_audio, take_delta, stop
main()
"""


class Child:
    """A gateway in a process of its own, in a folder of its own, and all that it has said."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, key: str) -> None:
        self.process, self.folder, self._key = process, folder, key
        self.said = b""
        self.port = 0

    async def until_said(self, text: bytes) -> None:
        assert self.process.stderr is not None
        while text not in self.said:
            line = await bounded(f"it says {text!r}", self.process.stderr.readline())
            assert line, self.said
            self.said += line

    async def connect(self) -> Client:
        url = f"ws://127.0.0.1:{self.port}/v1/realtime"
        client = await Client.connect(url, additional_headers={"Authorization": f"Bearer {self._key}"})
        await client.send("session.update", model=MODEL, parley={"resume": True})
        assert (await client.receive())["resume"]["token"]
        return client

    async def until_ended(self) -> int:
        """Its exit status; what it has said is complete then."""
        out, rest = await bounded("it ends", self.process.communicate())
        self.said += out + rest
        assert self.process.returncode is not None
        return self.process.returncode


def _secrets(folder: Path) -> tuple[str, list[str]]:
    """An API key in which the canary shows, and the options of a gateway that knows it and another."""
    presented, salt = make(lambda size: (base64.b64decode("zzkanarienvogelx") * 8)[:size])
    with changing(folder / "keys.toml", may_begin=True) as keys:
        keys[presented.id] = ApiKey(id=presented.id, salt=salt, hash=hash_of(salt, presented.secret), name="captions")
    (folder / "upstream.key").touch(mode=0o600)
    (folder / "upstream.key").write_text(UPSTREAM_KEY)
    options = [f"access.keys_file={folder / 'keys.toml'}", f"upstream.api_key_file={folder / 'upstream.key'}"]
    return written(presented), [part for option in options for part in ("--set", option)]


@asynccontextmanager
async def gateway(upstream: str, tmp_path: Path, *program: str) -> AsyncIterator[Child]:
    """One in front of this model server, ready, with whatever helps to find out about crashes turned on."""
    key, options = _secrets(tmp_path)
    folder = tmp_path / "its-own"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    serve = ["serve", "--port", "0", "--upstream", upstream, "--set", "log.level=debug", *options]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-X", "dev", "-W", "ignore", *program, *serve),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"PYTHONFAULTHANDLER": "1", "PYTHONASYNCIODEBUG": "1"},
    )
    child = Child(process, folder, key)
    try:
        await child.until_said(b"listening on")
        found = _LISTENING.search(child.said)
        assert found is not None
        child.port = int(found[1])
        await child.until_said(b"model server is ready")
        yield child
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
async def test_one_that_is_aborted_in_the_midst_of_a_turn(
    vllm: FakeVllm, tmp_path: Path, number: signal.Signals
) -> None:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    async with gateway(vllm.url, tmp_path, "-m", "parley") as child:
        client = await child.connect()
        await client.start()
        await client.say(SOUND)
        assert CANARY in (await client.until("transcription.delta"))[-1]["delta"]
        child.process.send_signal(number)
        assert await child.until_ended() == -number
        await client.until_closed()
    assert b"Fatal Python error: " in child.said, "its stacks are told"
    assert found_in(child.said) == []
    assert list(child.folder.iterdir()) == [], "there is no core"


async def test_one_in_which_everything_fails_that_can(vllm: FakeVllm, tmp_path: Path) -> None:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    program = tmp_path / "breaking.py"
    program.write_text(_BREAKING)
    async with gateway(vllm.url, tmp_path, str(program)) as child:
        client = await child.connect()
        await client.start()
        await client.say(SOUND)
        ending = await client.until_closed()
        assert ending.events[-1]["reason"] == "internal-error"
        child.process.send_signal(signal.SIGTERM)
        assert await child.until_ended() == 1
    for report in (b"uncaught exception in a thread", b"could not be raised", b"internal-error: this is a bug"):
        assert report in child.said
    assert child.said.count(b"RuntimeError") >= 4, child.said
    assert found_in(child.said, repr(ending)) == []
    assert list(child.folder.iterdir()) == []
