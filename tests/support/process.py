"""A `parley serve` in a process of its own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.client import Client
from tests.support.waiting import bounded

_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class ServeProcess:
    """The process, and the log that it writes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[str] = []
        self.port = 0

    async def until_logged(self, text: str) -> str:
        """Read its log up to a message that contains the text."""
        return await bounded(f"the log says {text!r}", self._until_logged(text))

    async def connect(self) -> Client:
        return await Client.connect(f"ws://127.0.0.1:{self.port}/v1/realtime")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    async def until_ended(self) -> int:
        """Its exit status; the rest of its log is read on the way."""
        assert self._process.stderr is not None
        rest = await bounded("the process ends", self._process.stderr.read())
        self.log += rest.decode().splitlines()
        return await bounded("the process is gone", self._process.wait())

    async def _until_logged(self, text: str) -> str:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log.append(line.decode())
            message = str(json.loads(line)["message"])
            if text in message:
                return message
        raise AssertionError("\n".join(["it ended instead:", *self.log]))


@asynccontextmanager
async def serving(upstream_url: str, *options: str) -> AsyncIterator[ServeProcess]:
    """A gateway in front of this model server, ready."""
    command = (sys.executable, "-P", "-m", "parley", "serve", "--port", "0", "--upstream", upstream_url)
    process = await asyncio.create_subprocess_exec(
        *command,
        *options,
        "--log-format",
        "json",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")},
    )
    serve = ServeProcess(process)
    try:
        found = _LISTENING.search(await serve.until_logged("listening on"))
        assert found is not None
        serve.port = int(found[1])
        await serve.until_logged("model server is ready")
        yield serve
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
