"""Before it is known who asks: nothing upstream is opened, no session begun, no place taken, nothing of a body held."""

import asyncio
import contextlib
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hyperframe.frame import Frame, SettingsFrame

from parley.wire.event_stream import CONTENT_TYPE
from tests.server.http2_gateway import Http2Gateway
from tests.support.admin import free_port
from tests.support.credentials import Issuer
from tests.support.fake_vllm import FakeVllm
from tests.support.http2 import PREFACE, data_frame, headers_frame, request_fields, serialized
from tests.support.raw import TEXT, UPGRADE, frame, request
from tests.support.waiting import bounded

ANNOUNCED_BYTES = 200_000_000
BEHIND_BYTES = 1_000_000
"""What is sent behind a head although nobody has asked for it."""
HELD_MAX_BYTES = 16_384
"""What a request may cost at most on top of one with nothing behind it."""
LEFT_MAX_BYTES = 65_536
"""What may be left of a refused request: the log's records of it, and what the libraries keep for the next one."""

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
    "a browser token": ("http", post("/v1/realtime/client_secrets", "application/json")),
    "a stream over HTTP/2": ("http2", http2),
    "a drain": ("admin", post("/admin/v1/drain", "application/json")),
}


class Stage:
    """A gateway that asks everybody, and how much it had to do with its model server."""

    def __init__(self, gateway: Http2Gateway, admin_port: int, vllm: FakeVllm) -> None:
        assert gateway._gateway is not None
        self.live = gateway._gateway._live
        self.ports = {"http": gateway.port, "http2": gateway.http2_port, "admin": admin_port}
        self.vllm = vllm

    @property
    def done(self) -> tuple[int, int, int]:
        """Streams that were opened upstream, sessions that live, and those that have ended."""
        return len(self.vllm.sessions), len(self.live), self.live.ended


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    issuer, admin_port = Issuer(tmp_path), free_port()
    access = {name: issuer.access[name] for name in ("keys_file", "browser_tokens", "policy_file")}
    gateway = Http2Gateway(
        vllm.url, access=access, admin={"port": admin_port, "token_file": issuer.token_file}, server={"port": 0}
    )
    await gateway.start()
    yield Stage(gateway, admin_port, vllm)
    await gateway.close()


@contextlib.contextmanager
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _exchange(port: int, data: bytes, answer: bytearray) -> int:
    """Send it all, as far as it is taken, and read the answer as far as there is room; how much came. In a thread, so
    that the gateway runs, and with memory that is there already, so that only the gateway takes some."""
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        size = 0
        with contextlib.suppress(OSError):
            while b"credentials-missing" not in answer and b"invalid-token" not in answer:
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


async def cost_bytes(stage: Stage, what: str, headers: dict[str, str], behind_bytes: int) -> int:
    """The most memory that the process takes in answering it, all of which it gives back when the client is gone."""
    listener, made = ASKED[what]
    data, answer = made(headers, behind_bytes), bytearray(16_384)
    for _ in range(3):
        # Once to have everything be imported and cached that is.
        answer[:] = bytes(len(answer))
        with traced():
            before, _ = tracemalloc.get_traced_memory()
            await bounded("the answer", asyncio.to_thread(_exchange, stage.ports[listener], data, answer))
            _, peak = tracemalloc.get_traced_memory()
            await bounded("it is let go of", until_freed(before + LEFT_MAX_BYTES))
    assert (b"invalid-token" if headers else b"credentials-missing") in answer, bytes(answer[:600])
    return peak - before


@pytest.mark.parametrize("headers", [NONE, WRONG], ids=["without credentials", "with wrong ones"])
@pytest.mark.parametrize("what", ASKED)
async def test_nothing_is_opened_begun_or_held_for_whoever_is_refused(
    stage: Stage, what: str, headers: dict[str, str]
) -> None:
    before = stage.done
    bare = await cost_bytes(stage, what, headers, 0)
    with_body = await cost_bytes(stage, what, headers, BEHIND_BYTES)
    assert stage.done == before == (0, 0, 0)
    assert with_body - bare < HELD_MAX_BYTES
