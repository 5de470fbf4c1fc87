"""A gateway with the embedded engine, as `parley serve --admin` starts it, behind a network that can be cut."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.admin import AdminApi, free_port
from tests.support.chaos_proxy import ChaosProxy
from tests.support.process import ServeProcess

_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass
class Stage:
    """The network before the gateway, the operator's own way to it, and what there is to see."""

    link: ChaosProxy
    admin_link: ChaosProxy
    serve: ServeProcess
    admin: AdminApi

    @property
    def url(self) -> str:
        """The captions page, through the network."""
        return f"http://127.0.0.1:{self.link.port}/"

    @property
    def console_url(self) -> str:
        """The console, through a network of its own."""
        return f"http://127.0.0.1:{self.admin_link.port}/console"

    async def session(self) -> Any:
        """The one that lives."""
        (one,) = (await self.admin.get("sessions"))["sessions"]
        return one

    async def timeline(self, session_id: str) -> Any:
        """Of a session that lives or has ended."""
        return await self.admin.get(f"sessions/{session_id}/timeline")

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that a browser may ask."""
        ports = (self.link.port, self.admin_link.port)
        return tuple(f"{scheme}://127.0.0.1:{port}/" for scheme in ("http", "ws") for port in ports)


def cut(link: ChaosProxy) -> None:
    """The network is gone: for what is connected, and for what tries to connect."""
    link.is_refusing = True
    assert link.cut(), "something was connected"


def mend(link: ChaosProxy) -> None:
    """It is back."""
    link.is_refusing = False


@asynccontextmanager
async def whole_gateway(*options: str) -> AsyncIterator[Stage]:
    """Ready, with its model."""
    admin_port = free_port()
    command = (sys.executable, "-P", "-m", "parley", "serve", "--port", "0", "--admin", str(admin_port))
    process = await asyncio.create_subprocess_exec(
        *command,
        # Its end is not waited for by those who still speak.
        *("--set", "drain.settle_s=0", "--set", "drain.timeout_s=1"),
        *options,
        *("--log-format", "json"),
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
        admin = AdminApi(admin_port)
        async with ChaosProxy(f"http://127.0.0.1:{serve.port}") as link, ChaosProxy(admin.url) as admin_link:
            yield Stage(link, admin_link, serve, admin)
    finally:
        if process.returncode is None:
            process.terminate()
        _, rest = await process.communicate()
        # Shown with a test that fails.
        print("".join(serve.log) + rest.decode())
