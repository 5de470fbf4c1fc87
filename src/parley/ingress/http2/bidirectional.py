"""SageMaker's endpoint: who may open a stream, on what, and what serves it.

```
Request ─► route ─► Gate ─► headers ─► Endpoints ─► sessions   SessionAttachment ┐
              └ /ping                                     └► container  ContainerRelay    ┴ PartTaker ◄─ PartStream
```
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import cast

from parley.access.gate import Gate
from parley.access.identity import Identity, RequestHead
from parley.core.errors import ParleyError
from parley.ingress.attachment import Provenance, SessionHost
from parley.ingress.http2.answer import Answer
from parley.ingress.http2.container_relay import ContainerRelay
from parley.ingress.http2.exchange import Exchange, ExchangeHandler, Request
from parley.ingress.http2.operation import is_operation, parse_operation, path_of
from parley.ingress.http2.part_reader import PartReader
from parley.ingress.http2.part_stream import PartStream, PartTaker
from parley.ingress.http2.session_attachment import SessionAttachment
from parley.ingress.http2.stream_limits import StreamLimits as StreamLimits
from parley.ingress.invocation import Container, Endpoints, Invocation, Target
from parley.ingress.provenance import provenance_of
from parley.ingress.threshold import Arrival, flag
from parley.ingress.waiting import WaitingRoom
from parley.wire.dialect import VllmDialect

_log = logging.getLogger("parley.ingress")

_SESSION_PATHS = ("", "v1/realtime", "invocations-bidirectional-stream")
"""Invocation paths of sessions: none, and the WebSocket routes of a container that is Parley."""
_PING_PATH = "/ping"
_DEFAULT_LIMITS = StreamLimits()


def _healthy() -> None:
    """Whoever answers is."""


class Bidirectional:
    """Makes the handler of each request: a `HandlerFactory`.

    `check` raises a ParleyError when `GET /ping` is to say that this node is not ready. `drain` and `close` end what is
    in front of containers, and who waits for a session; sessions are their hosts' to end.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        gate: Gate,
        limits: StreamLimits = _DEFAULT_LIMITS,
        *,
        check: Callable[[], None] = _healthy,
    ) -> None:
        self._endpoints = endpoints
        self._gate = gate
        self._limits = limits
        self._check = check
        self._waiting = WaitingRoom(limits.waiting_max, limits.waiting_timeout_s)
        self._relays: dict[ContainerRelay, Callable[[], None]] = {}
        self._no_relays = asyncio.Event()
        self._no_relays.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def __call__(self, request: Request, exchange: Exchange) -> ExchangeHandler:
        """Answer the request, or begin its stream."""
        answer = Answer(exchange, str(uuid.uuid4()), self._limits.close_timeout_s)
        try:
            if path_of(request) == _PING_PATH and request.method in ("GET", "POST"):
                self._ping(exchange, answer)
            elif is_operation(request):
                return self._open(request, exchange, answer)
            else:
                raise ParleyError("not-found", "HTTP/2 serves /endpoints/NAME/invocations-bidirectional-stream.")
        except ParleyError as error:
            _log.info("refused stream %s: %s", answer.request_id, error.code)
            answer.refuse(error)
        except Exception as error:
            _log.error("stream %s failed: %s", answer.request_id, type(error).__name__, exc_info=error)
            answer.end(ParleyError("internal-error"))
        return _Answered()

    def _ping(self, exchange: Exchange, answer: Answer) -> None:
        try:
            self._check()
        except ParleyError as error:
            # Full is healthy: who is full must not be replaced.
            if error.code != "at-capacity":
                answer.refuse(error)
                return
        body = b'{"status":"ready"}'
        exchange.respond(200, ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))))
        exchange.write(body)
        exchange.finish()

    # ---- a stream

    def _open(self, request: Request, exchange: Exchange, answer: Answer) -> ExchangeHandler:
        loop = asyncio.get_running_loop()
        came_at, head = loop.time(), _head_of(request)
        identity = self._gate.identify(head)
        provenance = provenance_of(head, identity.caller, connected_at=came_at, now=loop.time(), transport="http2")
        invocation = parse_operation(request)
        target = self._endpoints.find(invocation)
        # Of what may serve, only sessions can be taken up again.
        if hasattr(target.serves, "resume"):
            host = cast(SessionHost, target.serves)
            taker = self._session(host, invocation, target, identity, exchange, answer, provenance)
        else:
            taker = self._relay(target.serves, invocation, target, identity, exchange, answer)
        return PartStream(PartReader(identity.guard, self._limits.message_max_bytes), taker, answer.request_id)

    def _session(
        self,
        host: SessionHost,
        invocation: Invocation,
        target: Target,
        identity: Identity,
        exchange: Exchange,
        answer: Answer,
        provenance: Provenance,
    ) -> PartTaker:
        if invocation.path not in _SESSION_PATHS:
            # What a container that is Parley answers, as SageMaker passes it on.
            detail = f"Sessions are at the invocation path {_SESSION_PATHS[1]}, or without one."
            raise ParleyError("not-found", detail, original_status=404)
        comes_back = bool(flag(invocation.query, "resume") and host.resume_window_s)
        if comes_back:
            self._waiting.check()
        else:
            host.check(identity.caller, invocation.endpoint)
        arrival = Arrival(
            caller=identity.caller,
            endpoint=invocation.endpoint,
            takes_binary=True,
            forward_empty_deltas=flag(invocation.query, "empty_deltas"),
            comes_back=comes_back,
            transport="http2",
            provenance=provenance,
        )
        attachment = SessionAttachment(
            exchange, answer, host, VllmDialect(), arrival, self._waiting, self._limits.message_max_bytes
        )
        attachment.begin(target.variant)
        return attachment

    def _relay(
        self,
        container: Container,
        invocation: Invocation,
        target: Target,
        identity: Identity,
        exchange: Exchange,
        answer: Answer,
    ) -> PartTaker:
        if self._is_draining:
            raise ParleyError("shutting-down", retry_after_s=self._limits.retry_after_s)
        leave = container.enter(identity.caller)
        relay = ContainerRelay(
            exchange,
            answer,
            container,
            invocation,
            target.variant,
            open_timeout_s=self._limits.container_timeout_s,
            on_over=self._relay_over,
        )
        self._relays[relay] = leave
        self._no_relays.clear()
        relay.begin(self._start)
        return relay

    def _start(self, relay: ContainerRelay) -> asyncio.Task[None]:
        task = asyncio.create_task(relay.open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _relay_over(self, relay: ContainerRelay) -> None:
        leave = self._relays.pop(relay)
        leave()
        if not self._relays:
            self._no_relays.set()

    # ---- the end

    async def drain(self, timeout_s: float) -> None:
        """Open nothing more in front of containers, wait so long for what is open to end, then end it, saying so.
        Cancelled, it takes that back."""
        self._is_draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._no_relays.wait()
        except TimeoutError:
            _log.info("ending %d streams in front of containers", len(self._relays))
        except asyncio.CancelledError:
            self._is_draining = False
            raise
        self._end_relays()

    async def close(self) -> None:
        """End what `drain` has not, and tell those that wait for a session; their last bytes are the listener's."""
        self._is_draining = True
        self._waiting.refuse_all(ParleyError("shutting-down", retry_after_s=self._limits.retry_after_s))
        self._end_relays()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end_relays(self) -> None:
        for relay in list(self._relays):
            relay.fail(ParleyError("shutting-down", retry_after_s=self._limits.retry_after_s))


class _Answered:
    """The `ExchangeHandler` of a request whose answer is written: nothing that still comes matters."""

    def data_received(self, data: bytes) -> None:
        """A piece of a body that nobody asked for."""

    def input_ended(self) -> None:
        """It has ended."""

    def lost(self) -> None:
        """The answer was not read."""

    def writing_blocked(self) -> None:
        """The answer is short, and all of it is written."""

    def writing_unblocked(self) -> None:
        """The same."""


def _head_of(request: Request) -> RequestHead:
    # As they were signed: a value may be UTF-8, or anything.
    decoded = [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in request.headers
        if not name.startswith(b":")
    ]
    fields = ((":authority", request.authority), *decoded)
    return RequestHead(request.method, request.target, fields, request.certificate, signs_events=True)
