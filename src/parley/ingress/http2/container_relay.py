"""A client's stream in front of a container, as SageMaker's router relays it: a part is a frame, and a frame a part.

```
client ── parts ──► ContainerRelay ── frames ──► container
       PARTIAL = FIN 0, COMPLETE = FIN 1, UTF8 = text, BINARY = binary
```
Nothing is merged, split or looked into. Nothing is kept either: the relay is no session, and can't be resumed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from parley.core.errors import ParleyError
from parley.ingress.http2.answer import Answer
from parley.ingress.http2.exchange import Exchange
from parley.ingress.invocation import Container, ContainerSocket, Invocation
from parley.wire.event_headers import invalid
from parley.wire.payload_part import PayloadPart

_log = logging.getLogger("parley.ingress")

_NORMAL, _GOING_AWAY, _NO_CODE = 1000, 1001, 1005
"""RFC 6455 section 7.4.1."""

_HELD_MAX_BYTES = 8_388_608
"""What a container may still send after it is not read any more: what was read already, each frame with its cost."""
_FRAME_COST_BYTES = 64


class _ContainerEnd:
    """The relay's `FrameSink`: what it is to a client and what it is to a container have names in common."""

    def __init__(self, relay: "ContainerRelay") -> None:
        self.frame_received = relay.frame_received
        self.container_closed = relay.container_closed
        self.writing_blocked = relay.container_blocked
        self.writing_unblocked = relay.container_unblocked


class ContainerRelay:
    """A `PartTaker` in front of a container's `FrameSink`. `on_over` is called once, when there is nothing more to
    relay."""

    def __init__(
        self,
        exchange: Exchange,
        answer: Answer,
        container: Container,
        invocation: Invocation,
        variant: str,
        *,
        open_timeout_s: float,
        on_over: Callable[["ContainerRelay"], None],
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._container = container
        self._invocation = invocation
        self._variant = variant
        self._open_timeout_s = open_timeout_s
        self._on_over = on_over
        self._opening: asyncio.Task[None] | None = None
        self._socket: ContainerSocket | None = None
        self._is_over = False
        self._sends_more = False
        self._receives_more = False
        self._is_blocked = False
        # Frames that came while the client does not read, and how it ends behind them.
        self._held: deque[tuple[bytes, bool, bool]] = deque()
        self._held_bytes = 0
        self._is_ending = False
        self._ends_with: ParleyError | None = None

    def begin(self, start: Callable[["ContainerRelay"], asyncio.Task[None]]) -> None:
        """Have the container's WebSocket opened, by a task that runs `open`. Until it is there the client is not read:
        what it sends meanwhile is bounded by its stream's window."""
        self._exchange.pause_reading()
        self._opening = start(self)

    async def open(self) -> None:
        """Open the container's WebSocket, and then answer the client."""
        request_id, asked = self._answer.request_id, self._invocation
        try:
            async with asyncio.timeout(self._open_timeout_s):
                socket = await self._container.open(asked.path, asked.query, request_id, _ContainerEnd(self))
        except ParleyError as error:
            _log.info("refused stream %s: %s", request_id, error.code)
            self._end(error)
        except TimeoutError:
            _log.warning("the container of stream %s did not take it in %g s", request_id, self._open_timeout_s)
            self._end(ParleyError("container-refused", f"It did not answer within {self._open_timeout_s:g} s."))
        except Exception as error:
            _log.error("stream %s failed: %s", request_id, type(error).__name__, exc_info=error)
            self._end(ParleyError("internal-error"))
        else:
            self._opening = None
            self._opened(socket)

    def _opened(self, socket: ContainerSocket) -> None:
        if self._is_over:
            socket.close(_GOING_AWAY)
            return
        self._socket = socket
        self._answer.begin(self._variant)
        self._exchange.resume_reading()

    # ---- from the client

    def take(self, part: PayloadPart) -> None:
        """See `PartTaker`."""
        if self._socket is not None and not self._is_ending:
            self._sends_more = not part.is_complete
            self._socket.send_frame(part.data, is_text=part.is_text, is_last=part.is_complete)

    def input_ended(self) -> None:
        """See `PartTaker`: the container is told with Close 1000. What it has not said by then is lost, for a WebSocket
        has no half-closed state."""
        if self._sends_more:
            raise invalid("The stream ended in the middle of a message: its last part is PARTIAL.")
        self._end_behind_held(None, close_code=_NORMAL)

    def fail(self, error: ParleyError) -> None:
        """See `PartTaker`."""
        self._end(error, close_code=error.spec.ws_close, close_reason=error.code)

    def lost(self) -> None:
        """See `PartTaker`."""
        self._answer.lost()
        self._end(None, close_code=_GOING_AWAY)

    def writing_blocked(self) -> None:
        """See `PartTaker`: the container is not read."""
        self._is_blocked = True
        if self._socket is not None:
            self._socket.pause_reading()

    def writing_unblocked(self) -> None:
        """See `PartTaker`."""
        self._is_blocked = False
        while self._held and not self._is_blocked and not self._is_over:
            data, is_text, is_last = self._held.popleft()
            self._held_bytes -= len(data) + _FRAME_COST_BYTES
            self._write(data, is_text=is_text, is_last=is_last)
        if self._is_blocked or self._is_over:
            return
        if self._is_ending:
            self._end(self._ends_with)
        elif self._socket is not None:
            self._socket.resume_reading()

    # ---- from the container

    def frame_received(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        """See `FrameSink`."""
        if self._is_over or self._is_ending:
            return
        self._receives_more = not is_last
        if not self._is_blocked and not self._held:
            self._write(data, is_text=is_text, is_last=is_last)
            return
        self._held.append((data, is_text, is_last))
        self._held_bytes += len(data) + _FRAME_COST_BYTES
        if self._held_bytes > _HELD_MAX_BYTES:
            self.fail(ParleyError("slow-client"))

    def _write(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        try:
            self._answer.write_part(data, is_text=is_text, is_complete=is_last)
        except ValueError:
            self.fail(ParleyError("upstream-protocol", "A frame of the container is longer than an event may be."))

    def container_closed(self, code: int | None, reason: str) -> None:
        """See `FrameSink`. A Close frame with 1000, or without a code, is an end without a complaint, unless it stands
        in the middle of a message."""
        self._socket = None
        if code in (_NORMAL, _NO_CODE) and not self._receives_more:
            self._end_behind_held(None)
            return
        self._end_behind_held(ParleyError("container-closed", _describe_close(code, reason)))

    def container_blocked(self) -> None:
        """The container does not read: neither is the client."""
        self._exchange.pause_reading()

    def container_unblocked(self) -> None:
        """It reads again."""
        self._exchange.resume_reading()

    # ---- the end

    def _end_behind_held(self, error: ParleyError | None, close_code: int = 0) -> None:
        """End when the client has had what is held for it, which it gets `close_timeout_s` for."""
        if not self._held:
            self._end(error, close_code=close_code)
            return
        self._is_ending, self._ends_with = True, error
        self._close_socket(close_code, "")
        asyncio.get_running_loop().call_later(self._answer.close_timeout_s, self._cut)

    def _cut(self) -> None:
        if not self._is_over:
            self._answer.cut()
            self._end(None)

    def _end(self, error: ParleyError | None, *, close_code: int = 0, close_reason: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        self._held.clear()
        self._held_bytes = 0
        opening, self._opening = self._opening, None
        if opening is not None and opening is not asyncio.current_task():
            opening.cancel()
        self._close_socket(close_code, close_reason)
        self._answer.end(error)
        self._on_over(self)

    def _close_socket(self, code: int, reason: str) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close(code or _GOING_AWAY, reason)


def _describe_close(code: int | None, reason: str) -> str:
    said = f": {reason}" if reason else ""
    if code is None:
        return f"Its connection was lost without a Close frame{said}."
    if code in (_NORMAL, _NO_CODE):
        return "It did so in the middle of a message."
    return f"Its Close frame has the code {code}{said}."
