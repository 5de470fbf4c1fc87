"""A gateway with all its listeners behind TLS, which takes credentials of every kind, and requests to all of them."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from parley.core.content import Text
from parley.core.errors import ERRORS
from parley.ingress.upgrades import PATHS
from parley.store.retention.archive import Archive
from parley.store.retention.entry import Closed, Entry, KeptAudio, KeptTurn, encode_entry
from parley.store.retention.envelope import FileEnvelope
from parley.wire.event_stream import CONTENT_TYPE
from tests.server.http2_gateway import Http2Gateway
from tests.store.retention.records import HEADER, key_file
from tests.support.admin import free_port
from tests.support.client import Client
from tests.support.credentials import TENANT, Asked, Credential, Issuer
from tests.support.http2 import Http2Client
from tests.support.http2_routes import INVOCATION_PATH, INVOCATION_QUERY, served_over_http2
from tests.support.raw import UPGRADE, request
from tests.support.sound import pcm
from tests.support.waiting import bounded

OK = "ok"
CUT = "cut"
"""TLS ends before anything is answered."""
REALTIME = "/v1/realtime"


class Key(NamedTuple):
    """A route."""

    listener: str
    method: str
    path: str


@dataclass(frozen=True)
class Answer:
    """What came: a status, and the body of an error."""

    status: int
    body: bytes = b""

    @property
    def code(self) -> str:
        """The error's; OK for none, CUT for no answer, the status where there is no body."""
        if not self.status:
            return CUT
        if self.status < HTTPStatus.BAD_REQUEST:
            return OK
        if not self.body:
            return str(self.status)
        found = json.loads(self.body)
        if "ErrorCode" in found:
            return str(found["ErrorCode"])
        error = found["error"]
        # The engine words its errors as vLLM does, with Parley's own beside.
        return str(error.get("parley", error)["code"])

    def is_what(self, code: str) -> bool:
        """Whether it says this; to HEAD only a status can."""
        status = ERRORS[code].http_status if code in ERRORS else 0
        return self.code == code or (self.code == str(status) and not self.body)


def _authority(port: int) -> str:
    return f"127.0.0.1:{port}"


async def exchanged(port: int, context: ssl.SSLContext | None, data: bytes, *, is_head: bool = False) -> Answer:
    """One request on a connection of its own, and its answer to the end; a WebSocket's to its head."""
    try:
        reader, writer = await bounded("a connection", asyncio.open_connection("127.0.0.1", port, ssl=context))
    except OSError:
        return Answer(0)
    try:
        writer.write(data)
        head = await bounded("an answer", reader.readuntil(b"\r\n\r\n"))
        status = int(head.split(b" ", 2)[1])
        if status < HTTPStatus.BAD_REQUEST or is_head:
            return Answer(status)
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return Answer(status, await bounded("its body", reader.readexactly(int(length.partition(b":")[2]))))
    except (OSError, asyncio.IncompleteReadError):
        return Answer(0)
    finally:
        writer.transport.abort()


class Stage:
    """A gateway with all its listeners, behind TLS, and somebody of the first tenant who has a session."""

    def __init__(self, gateway: Http2Gateway, issuer: Issuer, admin_port: int, archive: Archive) -> None:
        self.gateway = gateway
        self.issuer = issuer
        self.admin_port = admin_port
        self.session_id = ""
        self.record_id = ""
        self._archive = archive
        self.clients: list[Client] = []
        self._kept = 0

    async def routes(self) -> set[Key]:
        """What the listeners serve, as their own routers say, and HTTP/2's answers."""
        gateway = self.gateway._gateway
        assert gateway is not None
        assert gateway._admin is not None
        found = served("http", gateway._port._runner.app) | served("admin", gateway._admin._runner.app)
        found |= {Key("websocket", "GET", path) for path in PATHS}
        nobody = Credential("none", "none")
        for path in {key.path for key in found if key.listener == "http"}:
            key = Key("preflight", "OPTIONS", path)
            found |= {key} if (await self.ask(key, nobody)).code == OK else set()
        headers = {"authorization": f"Bearer {self.issuer.keys['right']}"}
        (shown,) = (one for one in self.issuer.credentials if (one.kind, one.state) == ("certificate", "right"))
        async with Http2Client(self.gateway.http2_port, ssl_context=self.context(shown, "h2")) as client:
            return found | {Key("http2", *route) for route in await served_over_http2(client, headers)}

    async def begin(self) -> None:
        """Somebody of the first tenant begins a session, and something is kept of one that is over."""
        headers = {"Authorization": f"Bearer {self.issuer.keys['right']}"}
        url = f"wss://127.0.0.1:{self.gateway.port}{REALTIME}"
        client = await Client.connect(url, ssl=self.issuer.authority.trusting(), additional_headers=headers)
        self.clients.append(client)
        self.session_id = client.session_id
        await self.keep()

    async def keep(self) -> None:
        """Something is kept, of the first tenant's."""
        self._kept += 1
        self.record_id = f"sess-kept-{self._kept}"
        header = replace(HEADER, session_id=self.record_id, tenant=TENANT, expires_s=0.0)
        part = await self._archive.begin(header)
        said: list[Entry] = [KeptAudio(0, pcm(0.1)), KeptTurn(1, 0, 1_600, Text.of("said")), Closed("client-ended")]
        await self._archive.append(part, [encode_entry(entry) for entry in said])

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    def context(self, credential: Credential, alpn: str = "") -> ssl.SSLContext:
        return self.issuer.authority.trusting(credential.certificate, alpn)

    # ---- one question

    async def ask(self, key: Key, credential: Credential, **more: str) -> Answer:
        """What is answered; `more` are header fields that it is asked with beside, but over HTTP/2."""
        if key.listener == "http2":
            return await self._ask_http2(key, credential)
        port = self.admin_port if key.listener == "admin" else self.gateway.port
        is_record = key.path.endswith(("/transcript", "/audio", "/retained"))
        target = key.path.replace("{id}", self.record_id if is_record else self.session_id)
        target = target.replace("{name}", "none").replace("{file}", "none.css")
        if (key.method, key.path) == ("DELETE", "/admin/v1/retained"):
            target += f"?tenant={TENANT}"
        headers: dict[str, str] = {"Connection": "close"}
        body = b""
        if key.listener == "websocket":
            headers = dict(UPGRADE)
        elif key.method == "POST":
            body = pcm(0.1) if key.path == "/invocations" else b"{}"
            headers["Content-Type"] = "audio/pcm" if key.path == "/invocations" else "application/json"
            headers["Content-Length"] = str(len(body))
        if key.listener == "preflight":
            headers |= {"Origin": f"https://{_authority(port)}", "Access-Control-Request-Method": "POST"}
        shown = credential.show(Asked(key.method, target, _authority(port), body))
        headers |= {"Host": _authority(port), **shown.headers, **more}
        data = request(shown.target, headers, key.method) + body
        answer = await exchanged(port, self.context(credential), data, is_head=key.method == "HEAD")
        await self._restore(key, answer)
        return answer

    async def _restore(self, key: Key, answer: Answer) -> None:
        """Have everything be as it was before a request that changed something."""
        if answer.code != OK or key.listener != "admin":
            return
        if key.path.endswith("/end"):
            await self.begin()
        elif key.method == "DELETE":
            await self.keep()
        elif key.path.endswith("/v1/drain"):
            (operator,) = [one for one in self.issuer.credentials if one.state == "operator"]
            undone = await self.ask(Key("admin", "DELETE", "/admin/v1/drain"), operator)
            assert undone.code == OK, undone

    async def _ask_http2(self, key: Key, credential: Credential) -> Answer:
        path, _, invocation = key.path.replace("{endpoint}", "parley").partition(" ")
        invoked, _, query = invocation.partition("?")
        headers = {"content-type": CONTENT_TYPE}
        headers |= {INVOCATION_PATH: invoked} if invoked else {}
        headers |= {INVOCATION_QUERY: query} if query else {}
        asked = Asked(key.method, path, "parley.test", is_http2=True, headers=headers)
        shown = credential.show(asked)
        client = Http2Client(self.gateway.http2_port, ssl_context=self.context(credential, "h2"))
        try:
            async with client:
                stream = client.open(shown.target, {**headers, **_lowered(shown.headers)}, method=key.method)
                status, _ = await stream.head()
                if status < HTTPStatus.BAD_REQUEST:
                    stream.reset()
                    return Answer(status)
                return Answer(status, await stream.read_all())
        except (OSError, AssertionError):
            if credential.kind == "certificate":
                return Answer(0)
            raise


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def served(listener: str, app: web.Application) -> set[Key]:
    """The routes of an application."""
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        # aiohttp gives a placeholder's pattern back as it was given.
        found.add(Key(listener, route.method, route.resource.canonical))
    return found


@contextlib.asynccontextmanager
async def staged(url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage in front of the model server at `url`."""
    issuer, admin_port = Issuer(tmp_path), free_port()
    kept = key_file(tmp_path)
    gateway = Http2Gateway(
        url,
        access=issuer.access,
        server={"port": 0, **issuer.tls()},
        http2=issuer.tls(),
        admin={"port": admin_port, "token_file": issuer.token_file, **issuer.tls()},
        retention={"directory": str(tmp_path / "kept"), "key_file": str(kept)},
        tenants=issuer.tenants,
    )
    await gateway.start()
    with contextlib.closing(Archive(tmp_path / "kept", FileEnvelope(kept))) as archive:
        stage = Stage(gateway, issuer, admin_port, archive)
        await stage.begin()
        yield stage
        await stage.close()
    await gateway.close()
