"""A gateway's admin API, as a test asks it."""

import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from tests.support.http import Answer
from tests.support.waiting import bounded


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class AdminApi:
    """Asks on this port, with a token if there is one."""

    def __init__(self, port: int, token: str = "") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._token = token

    async def ask(
        self, method: str, path: str, fields: object = None, *, data: bytes | None = None, **headers: str
    ) -> Answer:
        """`headers` with underscores for hyphens; POST sends JSON unless told otherwise."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            given.setdefault("Content-Type", "application/json")
            data = json.dumps(fields or {}).encode() if data is None else data
        if self._token:
            given.setdefault("Authorization", f"Bearer {self._token}")
        url = f"{self.url}/admin/v1/{path}"
        async with (
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as http,
            http.request(method, url, data=data, headers=given) as response,
        ):
            return Answer(response.status, response.headers, await bounded("an answer", response.read()))

    async def get(self, path: str) -> Any:
        """The JSON of what is there."""
        reply = await self.ask("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, path: str, **fields: object) -> Any:
        """The JSON of what came of it."""
        reply = await self.ask("POST", path, fields)
        assert reply.status == 200, reply.body
        return reply.json


async def eventually(what: str, is_true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true: what is watched from outside can't wake anybody."""

    async def until() -> None:
        while not await is_true():
            # Each question takes a while by itself.
            pass

    await bounded(what, until())
