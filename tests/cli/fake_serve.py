"""In the place of `parley serve`: answers /ping and speaks vLLM's protocol, or misbehaves as its first argument says.

It is a program of its own, started by the tests of `parley demo`.
"""

import asyncio
import os
import signal
import sys
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.client.parley_server import ScriptedParley
from tests.client.vllm_server import Handler, ScriptedVllm, event, greet

WORDS = (
    " Hello, and welcome to this short recording. A moment after each word is spoken, you can read it on the screen. "
    "Everything happens on your own computer. When you are ready, try it with your own voice."
)


async def crash(socket: ServerConnection) -> None:
    await greet(socket)
    await socket.recv()
    await socket.recv()
    print("something broke", flush=True)
    os._exit(7)


async def die(socket: ServerConnection) -> None:
    """Offers to resume the session, and is gone with its first audio."""
    await socket.send(event("session.created", id="sess-test", created=1, parley={"resume_window_s": 30.0}))
    await socket.send(event("session.updated", id="sess-test", resume={"token": "t0ken", "window_s": 30.0}))
    while "append" not in str(await socket.recv()):
        pass
    os._exit(7)


async def refuse(socket: ServerConnection) -> None:
    await greet(socket)
    await socket.close(1013)


HANDLERS: dict[str, Handler] = {
    "good": ScriptedVllm({30: WORDS}),
    "deaf": ScriptedVllm({30: " Something else entirely."}),
    "mute": ScriptedVllm({}),
    "crashing": crash,
    "refusing": refuse,
    "dropping": ScriptedParley(text=WORDS, drops=1),
    "dying": die,
}


async def main(kind: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ping(_socket: ServerConnection, request: Request) -> Response | None:
        if request.path != "/ping":
            return None
        status = 503 if kind == "unready" else 200
        return Response(status, HTTPStatus(status).phrase, Headers({"Content-Length": "0"}), b"")

    async with serve(HANDLERS.get(kind, ScriptedVllm()), "127.0.0.1", port, process_request=ping):
        if kind == "stubborn":
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("listening", flush=True)
        await stop.wait()


def run() -> None:
    kind, port = sys.argv[1], int(sys.argv[sys.argv.index("--port") + 1])
    if kind == "silent":
        return
    if kind == "dead":
        print("no weights here", flush=True)
        sys.exit(3)
    asyncio.run(main(kind, port))


run()
