"""One bidirectional stream as messages: whole ones in both directions, bounded, and nothing that hangs.

The SDK's `send` blocks for ever once 16 events wait behind a server that is gone, and its `receive` takes a stream that
broke off for one that ended. So both run in tasks of the stream's own, which are cancelled with it, and an end is one
only when the transport says so.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aws_sdk_sagemaker_runtime_http2.models import (
    RequestPayloadPart,
    RequestStreamEventPayloadPart,
    ResponsePayloadPart,
    ResponseStreamEventPayloadPart,
)

from parley.aws.ending import end_tasks
from parley.aws.failure import AwsError, lost, stream_error
from parley.aws.options import AwsOptions
from parley.aws.transport import StreamTransport
from parley.core.errors import ParleyError
from parley.wire.fragments import FragmentBuffer

_COMPLETE = "COMPLETE"
_TEXT = "UTF8"


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended: without an `error` the server said that it is complete, which says nothing of what was to
    come on it."""

    error: AwsError | None = None


class StreamSink(Protocol):
    """What hears from a stream. No method waits or raises."""

    def message_received(self, message: bytes, *, is_text: bool) -> None:
        """A message, whole."""

    def writing_blocked(self) -> None:
        """More waits to be sent than is good."""

    def writing_unblocked(self) -> None:
        """Half of that is gone."""

    def stream_ended(self, end: StreamEnd) -> None:
        """It is over; nothing follows."""


class AwsStream:
    """An open stream. Only `close` and `abort` wait, and both for no longer than the options say."""

    def __init__(
        self,
        publisher: Any,
        receiver: Any,
        transport: StreamTransport,
        sink: StreamSink,
        options: AwsOptions,
        drop: Callable[["AwsStream"], None],
    ) -> None:
        self._publisher = publisher
        self._receiver = receiver
        self._transport = transport
        self._sink: StreamSink | None = sink
        self._options = options
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._fragments = FragmentBuffer(options.message_max_bytes)
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._is_blocked = False
        self._is_finishing = False
        self._has_output = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._is_over = asyncio.Event()
        self._tasks = (self._loop.create_task(self._send_all()), self._loop.create_task(self._receive_all()))

    # ---- for its user

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was closed."""
        return self._is_over.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether its user should wait before it sends more."""
        return self._is_blocked

    def send(self, message: bytes) -> None:
        """Send a text message; it waits its turn. What is sent when the stream is over is gone."""
        if self.is_over or self._is_finishing:
            return
        self._queue.append(message)
        self._bytes += len(message)
        self._has_output.set()
        if self._bytes > self._options.send_max_bytes:
            self._end(lost("more waited to be sent than it may hold"))
        elif self._bytes > self._options.send_high_water_bytes and not self._is_blocked:
            self._is_blocked = True
            self._tell(lambda sink: sink.writing_blocked())

    def pause_reading(self) -> None:
        """Take nothing more than one message that is on its way; the server then runs out of credit."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Read again."""
        self._may_read.set()

    @property
    def is_reading(self) -> bool:
        """Whether it is read."""
        return self._may_read.is_set()

    async def close(self) -> None:
        """Say that nothing more comes, and give the server the options' `close_timeout_s` to end as well. The sink
        hears nothing more."""
        self._sink = None
        self._is_finishing = True
        self._may_read.set()
        self._has_output.set()
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                await self._is_over.wait()
        except TimeoutError:
            pass
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Reset it: to a server that keeps sessions this is a lost connection, not the end of the input."""
        self._sink = None
        self._is_over.set()
        current = asyncio.current_task()
        await end_tasks(task for task in self._tasks if task is not current)
        await self._transport.settle(self._options.close_timeout_s)

    def drop(self) -> None:
        """Reset it without waiting; its client sees to the rest."""
        self._sink = None
        self._is_over.set()
        self._transport.reset()
        self._drop(self)

    # ---- its tasks

    async def _send_all(self) -> None:
        try:
            while await self._has_next():
                message = self._queue[0]
                part = RequestPayloadPart(bytes_=message, data_type=_TEXT, completion_state=_COMPLETE)
                async with asyncio.timeout(self._options.write_stall_timeout_s):
                    await self._publisher.send(RequestStreamEventPayloadPart(value=part))
                self._sent()
            async with asyncio.timeout(self._options.write_stall_timeout_s):
                await self._publisher.close()
        except TimeoutError:
            self._end(lost(f"the server took nothing for {self._options.write_stall_timeout_s:g} s"))
        except Exception as error:  # the SDK raises what it likes
            # Where the server has ended meanwhile, whoever reads knows more.
            if self._transport.exchange is None or not self._transport.exchange.has_ended:
                self._end(lost(f"it could not be written ({type(error).__name__})"))

    async def _has_next(self) -> bool:
        while not self._queue:
            if self._is_finishing:
                return False
            self._has_output.clear()
            await self._has_output.wait()
        return True

    def _sent(self) -> None:
        if self._is_over.is_set():
            return
        self._bytes -= len(self._queue.popleft())
        if self._is_blocked and self._bytes <= self._options.send_high_water_bytes // 2:
            self._is_blocked = False
            self._tell(lambda sink: sink.writing_unblocked())

    async def _receive_all(self) -> None:
        try:
            while True:
                await self._may_read.wait()
                event = await self._receiver.receive()
                if event is None:
                    break
                if isinstance(event, ResponseStreamEventPayloadPart):
                    self._take(event.value)
        except ParleyError as error:
            self._end(lost(error.detail.rstrip(".") or error.code))
        except Exception as error:  # of any kind: the stream's modelled exceptions, broken events, a connection lost
            self._end(self._failure(error))
        else:
            exchange = self._transport.exchange
            self._end(None if exchange is not None and exchange.has_ended else lost("it broke off"))

    def _take(self, part: ResponsePayloadPart) -> None:
        payload = part.bytes_ or b""
        is_last = part.completion_state != "PARTIAL"
        is_text = part.data_type == _TEXT
        if is_last and not self._fragments.is_open:
            self._tell(lambda sink: sink.message_received(payload, is_text=is_text))
            return
        if not self._fragments.is_open:
            self._fragments.begin(payload, is_binary=not is_text)
            return
        whole = self._fragments.append(payload, is_last=is_last)
        if whole is not None:
            message, is_binary = whole
            self._tell(lambda sink: sink.message_received(message, is_text=not is_binary))

    def _failure(self, error: Exception) -> AwsError:
        kind = type(error).__name__
        if kind in ("ModelStreamError", "InternalStreamFailure"):
            code, said = getattr(error, "error_code", None), getattr(error, "message", None)
            return stream_error(kind, str(code or ""), str(said or ""))
        return lost(f"it broke off ({type(error.__cause__ or error).__name__})")

    def _end(self, error: AwsError | None) -> None:
        if self._is_over.is_set():
            return
        self._is_over.set()
        self._queue.clear()
        self._bytes = 0
        exchange = self._transport.exchange
        if exchange is not None and exchange.has_ended:
            exchange.finish()
        else:
            self._transport.reset()
        self._tell(lambda sink: sink.stream_ended(StreamEnd(error)))

    def _tell(self, say: Callable[[StreamSink], None]) -> None:
        if self._sink is not None:
            say(self._sink)
