"""The least a Python gateway can do: picows on uvloop, every frame written to the other side as it came.

No session, no limits, no backpressure: it marks what the language and its fastest WebSocket library cost.
"""

import argparse
import asyncio

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)

WAITING_FRAMES_MAX = 16


class UpstreamSide(WSListener):
    def __init__(self, client: WSTransport) -> None:
        super().__init__()
        self._client = client

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self._client.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self._client.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._client.disconnect()


class ClientSide(WSListener):
    def __init__(self, upstream_url: str) -> None:
        super().__init__()
        self._upstream_url = upstream_url
        self._upstream: WSTransport | None = None
        self._waiting: list[tuple[WSMsgType, bytes]] = []
        self._connecting: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._connecting = asyncio.create_task(self._connect(transport))

    async def _connect(self, client: WSTransport) -> None:
        upstream, _ = await ws_connect(lambda: UpstreamSide(client), self._upstream_url)
        for kind, payload in self._waiting:
            upstream.send(kind, payload)
        self._waiting.clear()
        self._upstream = upstream

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._upstream is None:
            if len(self._waiting) == WAITING_FRAMES_MAX:
                transport.disconnect()
                return
            self._waiting.append((frame.msg_type, frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            self._upstream.send_close(frame.get_close_code())
        else:
            self._upstream.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            self._upstream.disconnect()


async def serve(port: int, upstream_port: int) -> None:
    upstream_url = f"ws://127.0.0.1:{upstream_port}/v1/realtime"

    def accept(_request: WSUpgradeRequest) -> WSListener:
        return ClientSide(upstream_url)

    server = await ws_create_server(accept, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.upstream_port))


if __name__ == "__main__":
    main()
