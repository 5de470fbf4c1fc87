"""The exchange on Parley's HTTP/2 listener, without sessions: what the listener itself costs."""

import argparse
import asyncio
import signal

import uvloop
from benchmarks.peers.http2_exchange import CREATED, Door, Open, Signed
from benchmarks.peers.http2_exchange import Exchange as Echo

from parley.ingress.http2.exchange import Exchange, Request
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.listener import Http2Listener

HEAD = ((b"content-type", b"application/vnd.amazon.eventstream"),)


class Handler:
    def __init__(self, exchange: Exchange, echo: Echo) -> None:
        self._exchange = exchange
        self._echo = echo
        exchange.respond(200, HEAD)
        exchange.write(CREATED)

    def data_received(self, data: bytes) -> None:
        answers = self._echo.take(data)
        if answers:
            self._exchange.write(answers)

    def input_ended(self) -> None:
        self._exchange.finish()

    def lost(self) -> None:
        return

    def writing_blocked(self) -> None:
        self._exchange.pause_reading()

    def writing_unblocked(self) -> None:
        self._exchange.resume_reading()


async def serve(port: int, door: Door) -> None:
    def handler(request: Request, exchange: Exchange) -> Handler:
        return Handler(exchange, Echo(door.guard(request.method, request.target, request.headers)))

    listener = Http2Listener(handler, Http2Limits(), None)
    await listener.start("127.0.0.1", port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await listener.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args()
    uvloop.run(serve(options.port, Signed() if options.verify else Open()))


if __name__ == "__main__":
    main()
