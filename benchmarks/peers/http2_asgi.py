"""The exchange as an ASGI application, for hypercorn and granian; `verified` checks signatures as well."""

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.peers.http2_exchange import CREATED, Door, Exchange, Open, Signed

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


def application(door: Door) -> Application:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await exchange(door, scope, receive, send)
        elif scope["type"] == "lifespan":
            await lifespan(receive, send)

    return app


async def exchange(door: Door, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
    stream = Exchange(door.guard(scope["method"], scope["path"], headers))
    head = [(b"content-type", b"application/vnd.amazon.eventstream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": CREATED, "more_body": True})
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return
        if body := event.get("body"):
            answers = stream.take(body)
            if answers:
                await send({"type": "http.response.body", "body": answers, "more_body": True})
        if not event.get("more_body"):
            await send({"type": "http.response.body", "body": b""})
            return


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


plain = application(Open())
verified = application(Signed())
