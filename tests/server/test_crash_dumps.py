"""A process that crashes leaves nothing of its memory behind."""

import asyncio
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from parley.server import crash_dumps
from tests.support.waiting import bounded

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")

_CHILD = """
import os, resource, sys
from parley.server.crash_dumps import forbid_crash_dumps
assert forbid_crash_dumps()
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
print("ready", flush=True)
sys.stdin.readline()
canary = b"zzkanarienvogel" * 1000
os.abort()
"""


async def child(folder: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await bounded("the child is ready", process.stdout.readline()) == b"ready\n"
    return process


async def end(process: asyncio.subprocess.Process) -> int:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    code = await bounded("the child ends", process.wait())
    process._transport.close()  # type: ignore[attr-defined]
    return code


async def test_a_process_that_aborts_leaves_no_core(tmp_path: Path) -> None:
    # What its parent allows does not matter.
    process = await child(tmp_path)
    assert await end(process) == -signal.SIGABRT
    assert os.listdir(tmp_path) == []


@linux
async def test_its_memory_belongs_to_root_alone(tmp_path: Path) -> None:
    process = await child(tmp_path)
    try:
        status = os.stat(f"/proc/{process.pid}/mem")
        assert (status.st_uid, status.st_mode & 0o077) == (0, 0)
        assert os.stat(f"/proc/{process.pid}/environ").st_uid == 0
    finally:
        await end(process)


@linux
async def test_another_process_of_the_same_user_may_not_look(tmp_path: Path) -> None:
    process = await child(tmp_path)
    try:
        looker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _LOOKER, str(process.pid)), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await bounded("the other looks", looker.communicate())
        assert out.strip() in (b"PermissionError", b"not root")
    finally:
        await end(process)


_LOOKER = """
import os, sys
if os.geteuid() == 0:
    # As root everything may be read; as somebody else nothing of it.
    os.setgid(65534)
    os.setuid(65534)
try:
    open(f"/proc/{sys.argv[1]}/mem", "rb").read(1)
except OSError as error:
    print(type(error).__name__)
"""


def test_where_it_can_not_be_had_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not crash_dumps.forbid_crash_dumps()
    assert "can't be turned off" in caplog.text
