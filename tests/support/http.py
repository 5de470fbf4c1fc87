"""Plain HTTP requests to a gateway."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.gateway import RunningGateway
from tests.support.waiting import bounded

Body = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The documented body of an error."""
        error = self.json["error"]
        assert isinstance(error, dict)
        return error

    @property
    def code(self) -> str:
        """The error's."""
        return str(self.error["code"])

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The server-sent events: name and data."""
        assert self.headers["Content-Type"] == "text/event-stream"
        *blocks, rest = self.body.decode().split("\n\n")
        assert rest == "", "the last event is complete"
        events = []
        for block in blocks:
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return events


async def get(gateway: RunningGateway, path: str) -> Answer:
    return await _ask(gateway, "GET", path, None, {})


async def post(gateway: RunningGateway, path: str, body: Body = None, **headers: str) -> Answer:
    """`headers` with underscores for hyphens."""
    return await _ask(gateway, "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})


async def _ask(gateway: RunningGateway, method: str, path: str, body: Body, headers: Mapping[str, str]) -> Answer:
    # A content type of aiohttp's own choice is none that a caller chose.
    skipped = ["Content-Type"]
    async with (
        aiohttp.ClientSession(skip_auto_headers=skipped) as http,
        http.request(method, gateway.http_url + path, data=body, headers=headers) as response,
    ):
        return Answer(response.status, response.headers, await bounded("an answer", response.read()))
