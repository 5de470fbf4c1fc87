"""What nghttp2's own programs make of the listener; skipped where they are not installed."""

import asyncio
import shutil

import pytest

from parley.ingress.http2.limits import Http2Limits
from tests.support.http2 import Recorder, echoing, listening
from tests.support.waiting import bounded

pytestmark = pytest.mark.skipif(
    shutil.which("nghttp") is None or shutil.which("h2load") is None,
    reason="nghttp and h2load (Debian's nghttp2-client) are not installed",
)


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await bounded(command[0], process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace")


async def test_nghttp_sees_an_orderly_exchange() -> None:
    recorder = Recorder(on_end=lambda handler: handler.answer(b"the answer"))
    async with listening(recorder) as (_, port):
        said = await _run("nghttp", "--verbose", "--no-dep", f"http://127.0.0.1:{port}/x")
    assert ":status: 200" in said
    assert "the answer" in said
    assert "[ERROR]" not in said
    assert recorder.handlers[0].request.target == "/x"


async def test_h2load_has_every_request_answered() -> None:
    recorder = Recorder(lambda handler: handler.answer(bytes(1_000)))
    async with listening(recorder) as (_, port):
        said = await _run("h2load", "-n", "300", "-c", "3", "-m", "10", f"http://127.0.0.1:{port}/")
    assert "300 succeeded, 0 failed, 0 errored" in said


async def test_h2load_has_uploads_echoed_through_small_windows(tmp_path_factory: pytest.TempPathFactory) -> None:
    upload = tmp_path_factory.mktemp("upload") / "body"
    upload.write_bytes(bytes(300_000))
    limits = Http2Limits(receive_window_bytes=65_535, linger_s=0.2)
    async with listening(echoing(), limits) as (_, port):
        said = await _run(
            "h2load", "-n", "20", "-c", "2", "-m", "5", "-w", "14", "-d", str(upload), f"http://127.0.0.1:{port}/"
        )
    assert "20 succeeded, 0 failed, 0 errored" in said
    assert "(6000000) data" in said
