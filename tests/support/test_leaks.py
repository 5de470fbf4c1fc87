"""The check that every test is held to can fail, and says what it found."""

import asyncio
import os
import socket
import subprocess
import sys
import threading

from tests.support.leaks import (
    child_processes,
    describe_descriptors,
    describe_tasks,
    left_open,
    open_descriptors,
    stray_tasks,
)


def test_an_open_descriptor_is_found_and_named() -> None:
    before = open_descriptors()
    reading, writing = os.pipe()
    leaked = dict(open_descriptors().items() - before.items())
    os.close(reading)
    os.close(writing)
    assert leaked.keys() == {reading, writing}
    assert all("pipe:" in line for line in describe_descriptors(leaked))
    assert open_descriptors() == before


def test_an_open_socket_is_named_by_its_addresses() -> None:
    before = open_descriptors()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        leaked = dict(open_descriptors().items() - before.items())
        assert f"127.0.0.1:{port} -> " in describe_descriptors(leaked)[0]


def test_a_descriptor_that_a_thread_closes_a_moment_later_is_not_left_open() -> None:
    before = open_descriptors()
    reading, writing = os.pipe()
    assert writing == reading + 1
    closing = threading.Timer(0.05, os.closerange, (reading, writing + 1))
    closing.start()
    assert left_open(before) == {}
    closing.join()


def test_a_child_process_is_found_and_named() -> None:
    before = child_processes()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = dict(child_processes().items() - before.items())
        assert child.pid in found
        child.communicate()
    assert child_processes() == before


async def test_a_task_that_goes_on_is_found_and_named() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(forgotten())
    found = await stray_tasks()
    assert found == {task}
    (line,) = describe_tasks(found)
    assert "forgotten" in line
    assert "test_leaks.py" in line
    task.cancel()
    assert await stray_tasks() == set()
