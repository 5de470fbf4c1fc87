"""Before it is known who asks: nothing upstream is opened, no session begun, no place taken, nothing of a body held."""

import asyncio
import contextlib
import gc
import gzip
import http.client
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hyperframe.frame import Frame, SettingsFrame

from parley.wire.event_stream import CONTENT_TYPE
from tests.server.http2_gateway import Http2Gateway
from tests.support.admin import free_port
from tests.support.certificates import Authority
from tests.support.credentials import Issuer
from tests.support.fake_vllm import FakeVllm
from tests.support.http2 import PREFACE, data_frame, headers_frame, request_fields, serialized
from tests.support.raw import TEXT, UPGRADE, frame, request
from tests.support.waiting import bounded

ANNOUNCED_BYTES = 200_000_000
BEHIND_BYTES = 1_000_000
"""What is sent behind a head although nobody has asked for it."""
HELD_MAX_BYTES = 20_480
"""What a request may cost at most on top of one with nothing behind it."""
PIECES_HELD_MAX_BYTES = 49_152
"""The same of a body in chunks of one byte, each of which aiohttp makes an object of."""
LEFT_MAX_BYTES = 65_536
"""What may be left of a refused request: the log's records of it, and what the libraries keep for the next one."""

BOMB = gzip.compress(bytes(30_000_000))
"""A thousandth of what it would be."""

ENDED_MAX_BYTES = 1_048_576
"""The same where a session has ended, which is told of for a while."""
WRONG = {"Authorization": "Bearer parley_0123456789ab_" + "x" * 43}
NONE: dict[str, str] = {}
REALTIME = "/v1/realtime"
HTTP2_PATH = "/endpoints/parley/invocations-bidirectional-stream"

Requests = Callable[[dict[str, str], int], bytes]


def upgrade(headers: dict[str, str], behind_bytes: int) -> bytes:
    return request(REALTIME, UPGRADE | headers) + (frame(TEXT, b"x" * behind_bytes) if behind_bytes else b"")


def post(path: str, kind: str) -> Requests:
    def made(headers: dict[str, str], behind_bytes: int) -> bytes:
        announced = ANNOUNCED_BYTES if behind_bytes else 0
        fields = {"Host": "127.0.0.1", "Content-Type": kind, "Content-Length": str(announced), **headers}
        return request(path, fields, "POST") + b"x" * behind_bytes

    return made


def chunked(headers: dict[str, str], behind_bytes: int) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Type": "audio/pcm", "Transfer-Encoding": "chunked", **headers}
    body = b"%x\r\n" % behind_bytes + b"x" * behind_bytes if behind_bytes else b"0\r\n\r\n"
    return request("/invocations", fields, "POST") + body


def chunks_of_one(headers: dict[str, str], behind_bytes: int) -> bytes:
    whole = chunked(headers, 0)
    return whole.removesuffix(b"0\r\n\r\n") + b"1\r\nx\r\n" * (behind_bytes // 6) if behind_bytes else whole


def compressed(path: str, kind: str) -> Requests:
    def made(headers: dict[str, str], behind_bytes: int) -> bytes:
        body = BOMB if behind_bytes else b""
        fields = {"Host": "127.0.0.1", "Content-Type": kind, "Content-Encoding": "gzip", **headers}
        return request(path, {**fields, "Content-Length": str(len(body))}, "POST") + body

    return made


def padded(headers: dict[str, str], behind_bytes: int) -> bytes:
    frames = [data_frame(1, b"x" * 16_000, pad_bytes=200) for _ in range(min(behind_bytes // 16_384, 3))]
    return http2(headers, 0) + serialized(frames)


def unknown_frames(headers: dict[str, str], behind_bytes: int) -> bytes:
    """Of a type that nobody knows, which are ignored."""
    frame_of_it = (16_000).to_bytes(3) + b"\x42" + bytes(5) + bytes(16_000)
    return http2(headers, 0) + frame_of_it * min(behind_bytes // len(frame_of_it), 10)


def http2(headers: dict[str, str], behind_bytes: int) -> bytes:
    lowered = {name.lower(): value for name, value in headers.items()}
    fields = request_fields(HTTP2_PATH, {"content-type": CONTENT_TYPE, **lowered})
    data = b"x" * 16_384
    frames: list[Frame] = [headers_frame(1, fields)]
    frames += [data_frame(1, data) for _ in range(min(behind_bytes // len(data), 3))]
    return PREFACE + serialized([SettingsFrame(0), *frames])


ASKED: dict[str, tuple[str, Requests]] = {
    "an upgrade": ("http", upgrade),
    "a recording": ("http", post("/invocations", "audio/pcm")),
    "a recording in chunks": ("http", chunked),
    "a recording in tiny chunks": ("http", chunks_of_one),
    "a compressed recording": ("http", compressed("/invocations", "audio/pcm")),
    "a browser token": ("http", post("/v1/realtime/client_secrets", "application/json")),
    "a stream over HTTP/2": ("http2", http2),
    "a padded stream over HTTP/2": ("http2", padded),
    "unknown frames over HTTP/2": ("http2", unknown_frames),
    "a compressed drain": ("admin", compressed("/admin/v1/drain", "application/json")),
    "a drain": ("admin", post("/admin/v1/drain", "application/json")),
}


class Stage:
    """A gateway that asks everybody, and how much it had to do with its model server."""

    def __init__(self, gateway: Http2Gateway, admin_port: int, vllm: FakeVllm) -> None:
        assert gateway._gateway is not None
        self.live = gateway._gateway._live
        self.ports = {"http": gateway.port, "http2": gateway.http2_port, "admin": admin_port}
        self.vllm = vllm
        self.tls: ssl.SSLContext | None = None

    @property
    def done(self) -> tuple[int, int, int]:
        """Streams that were opened upstream, sessions that live, and those that have ended."""
        return len(self.vllm.sessions), len(self.live), self.live.ended


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@contextlib.asynccontextmanager
async def staged(vllm: FakeVllm, issuer: Issuer, tls: dict[str, str]) -> AsyncIterator[Stage]:
    admin_port = free_port()
    access = {name: issuer.access[name] for name in ("keys_file", "browser_tokens", "policy_file")}
    admin = {"port": admin_port, "token_file": issuer.token_file, **tls}
    gateway = Http2Gateway(vllm.url, access=access, admin=admin, server={"port": 0, **tls})
    await gateway.start()
    yield Stage(gateway, admin_port, vllm)
    await gateway.close()


@pytest.fixture
async def stage(vllm: FakeVllm, issuer: Issuer) -> AsyncIterator[Stage]:
    async with staged(vllm, issuer, {}) as made:
        yield made


@pytest.fixture
async def tls_stage(vllm: FakeVllm, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Stage]:
    """Its HTTP ports encrypted."""
    authority = Authority(tmp_path / "authority")
    own = authority.server()
    tls = {"tls_certificate_file": str(own.certificate_file), "tls_key_file": str(own.key_file)}
    async with staged(vllm, issuer, tls) as made:
        made.tls = authority.trusting(None)
        made.tls.check_hostname = False
        yield made


@contextlib.contextmanager
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _exchange(
    port: int, data: bytes, answer: bytearray, tls: ssl.SSLContext | None, until: tuple[bytes, ...], known: bytes
) -> int:
    """Send it all, as far as it is taken, and read the answer as far as there is room; how much came. In a thread, so
    that the gateway runs, and with memory that is there already, so that only the gateway takes some."""
    with contextlib.ExitStack() as stack:
        connection: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname="127.0.0.1"))
        if known:
            connection.sendall(known)
            while b'"usage"' not in answer:
                assert connection.recv_into(answer), "it is answered"
            answer[:] = bytes(len(answer))
            tracemalloc.reset_peak()
        with contextlib.suppress(OSError):
            connection.sendall(data)
        size = 0
        with contextlib.suppress(OSError):
            while not any(said in answer for said in until):
                got = connection.recv_into(memoryview(answer)[size:])
                size += got
                if not got:
                    break
        return size


async def until_freed(bytes_max: int) -> None:
    """Wait until no more memory is taken than this."""
    while tracemalloc.get_traced_memory()[0] > bytes_max:
        gc.collect()
        await asyncio.sleep(0)


REFUSED = (b"credentials-missing", b"invalid-token")


async def cost_bytes(
    stage: Stage, listener: str, data: bytes, until: tuple[bytes, ...] = REFUSED, known: bytes = b""
) -> int:
    """The most memory that the process takes in answering it, all of which it gives back when the client is gone."""
    answer = bytearray(16_384)
    for _ in range(2):
        # Once to have everything be imported and cached that is.
        answer[:] = bytes(len(answer))
        with traced():
            before, _ = tracemalloc.get_traced_memory()
            exchange = asyncio.to_thread(_exchange, stage.ports[listener], data, answer, stage.tls, until, known)
            await bounded("the answer", exchange)
            _, peak = tracemalloc.get_traced_memory()
            await bounded("it is let go of", until_freed(before + (ENDED_MAX_BYTES if known else LEFT_MAX_BYTES)))
    assert any(said in answer for said in until), bytes(answer[:600])
    return peak - before


@pytest.mark.parametrize("headers", [NONE, WRONG], ids=["without credentials", "with wrong ones"])
@pytest.mark.parametrize("what", ASKED)
async def test_nothing_is_opened_begun_or_held_for_whoever_is_refused(
    stage: Stage, what: str, headers: dict[str, str]
) -> None:
    before = stage.done
    listener, made = ASKED[what]
    bare = await cost_bytes(stage, listener, made(headers, 0))
    with_body = await cost_bytes(stage, listener, made(headers, BEHIND_BYTES))
    assert stage.done == before == (0, 0, 0)
    assert with_body - bare < (PIECES_HELD_MAX_BYTES if made is chunks_of_one else HELD_MAX_BYTES)


@pytest.mark.parametrize("what", ["a recording", "a drain"])
async def test_nothing_of_a_body_is_held_over_tls_but_by_tls_itself(tls_stage: Stage, what: str) -> None:
    listener, made = ASKED[what]
    bare = await cost_bytes(tls_stage, listener, made(NONE, 0))
    assert await cost_bytes(tls_stage, listener, made(NONE, BEHIND_BYTES)) - bare < HELD_MAX_BYTES


OPEN = {
    "a ping": ("http", "POST", "/ping", b'"ready"'),
    "a HEAD": ("http", "HEAD", "/ping", b"\r\n\r\n"),
    "a preflight": ("http", "OPTIONS", "/invocations", b"\r\n\r\n"),
    "a page": ("http", "GET", "/static/captions/none", b"not-found"),
    "another method": ("http", "DELETE", "/invocations", b"The route takes"),
    "no upgrade": ("http", "GET", REALTIME, b"upgrade"),
    "nothing of the operator's": ("admin", "POST", "/admin/v1/nothing", b"not-found"),
}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("what", OPEN)
async def test_what_anybody_may_ask_for_has_no_body_that_is_held(stage: Stage, what: str, encoding: str) -> None:
    listener, method, path, until = OPEN[what]
    port = stage.ports[listener]
    asked = {"Origin": f"http://127.0.0.1:{port}", "Access-Control-Request-Method": "POST"}
    fields = {"Host": f"127.0.0.1:{port}", "Content-Encoding": encoding, **(asked if method == "OPTIONS" else {})}
    body = b"x" * BEHIND_BYTES if encoding == "identity" else BOMB
    bare = await cost_bytes(stage, listener, request(path, {**fields, "Content-Length": "0"}, method), (until,))
    whole = request(path, {**fields, "Content-Length": str(len(body))}, method) + body
    assert await cost_bytes(stage, listener, whole, (until,)) - bare < HELD_MAX_BYTES


async def test_a_connection_that_was_somebodys_is_nobodys_again(stage: Stage, issuer: Issuer) -> None:
    behind = post("/invocations", "audio/pcm")
    fields = {"Host": "127.0.0.1", "Content-Length": "3200", "Authorization": f"Bearer {issuer.keys['right']}"}
    known = request("/invocations", {**fields, "Content-Type": "audio/pcm"}, "POST") + bytes(3_200)
    bare = await cost_bytes(stage, "http", behind(NONE, 0), known=known)
    assert await cost_bytes(stage, "http", behind(NONE, BEHIND_BYTES), known=known) - bare < HELD_MAX_BYTES


@pytest.mark.parametrize(("listener", "path"), [("http", "/invocations"), ("admin", "/admin/v1/drain")])
async def test_whoever_is_refused_while_it_sends_is_told_why(stage: Stage, listener: str, path: str) -> None:
    def ask() -> int:
        client = http.client.HTTPConnection("127.0.0.1", stage.ports[listener], timeout=10.0)
        try:
            client.request("POST", path, bytes(4 * BEHIND_BYTES))
            return client.getresponse().status
        finally:
            client.close()

    assert await bounded("the answer", asyncio.to_thread(ask)) == 401
