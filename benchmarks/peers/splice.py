"""A bridge of the published kind: FastAPI, uvicorn and websockets, two copying tasks a session.

It has the shape of the example that is commonly deployed between SageMaker and vLLM: `/ping` asks the model server,
the WebSocket route accepts, connects to the model server, copies both ways until one side ends, and closes.
"""

import argparse
import asyncio
import contextlib
import urllib.error
import urllib.request

import uvicorn  # type: ignore[import-not-found]
import websockets
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect  # type: ignore[import-not-found]

PING_TIMEOUT_S = 5


def health_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=PING_TIMEOUT_S) as answer:
            return int(answer.status)
    except (urllib.error.URLError, TimeoutError):
        return 503


async def copy_up(client: WebSocket, upstream: websockets.ClientConnection) -> None:
    try:
        while True:
            message = await client.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await upstream.send(text if text is not None else message["bytes"])
    except (WebSocketDisconnect, websockets.ConnectionClosed):
        return


async def copy_down(client: WebSocket, upstream: websockets.ClientConnection) -> None:
    try:
        async for message in upstream:
            if isinstance(message, str):
                await client.send_text(message)
            else:
                await client.send_bytes(message)
    except (WebSocketDisconnect, websockets.ConnectionClosed):
        return


def make_app(upstream_port: int) -> FastAPI:
    app = FastAPI()
    realtime = f"ws://127.0.0.1:{upstream_port}/v1/realtime"
    health = f"http://127.0.0.1:{upstream_port}/health"

    async def ping() -> Response:
        return Response(status_code=await asyncio.to_thread(health_of, health))

    async def bridge(client: WebSocket) -> None:
        await client.accept()
        async with websockets.connect(realtime) as upstream:
            copies = [
                asyncio.create_task(copy_up(client, upstream)),
                asyncio.create_task(copy_down(client, upstream)),
            ]
            _, pending = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in pending:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the client may have closed first
            await client.close()

    app.add_api_route("/ping", ping)
    app.add_api_websocket_route("/v1/realtime", bridge)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(make_app(options.upstream_port), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
