"""One HTTP/2 request on a connection of AWS's runtime library: heard from its threads, told to our event loop.

The SDK's own transport reads without bound, and can't tell a reset from an end. Here a stream's window is what may wait
unread, and an end is one only when END_STREAM has come.
"""

import asyncio
import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import Any

from awscrt.exceptions import AwsCrtError
from awscrt.http import Http2ClientConnection, HttpRequest

STREAM_WINDOW_BYTES = 65_535
"""What a server may send on a stream before somebody has read it."""


class Vanished(Exception):  # noqa: N818 (it is an event, which happens to be raised)
    """The stream broke off; the text is the runtime library's name for the reason."""


class Exchange:
    """A request that was sent on a connection of its own, and its answer. Everything here is for the event loop that
    made it."""

    def __init__(self, connection: Http2ClientConnection, request: HttpRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._has_more = asyncio.Event()
        self._has_ended = False
        self._is_complete = asyncio.Event()
        self._failure = ""
        self.head: asyncio.Future[tuple[int, list[tuple[str, str]]]] = self._loop.create_future()
        # Nobody may ask any more by the time that it fails.
        self.head.add_done_callback(lambda head: head.cancelled() or head.exception())
        self._stream = connection.request(request, self._on_head, self._on_body, manual_write=True)
        self._stream.remote_end_stream_future.add_done_callback(self._on_remote_end)
        self._stream.completion_future.add_done_callback(self._on_completion)
        self._stream.activate()

    # ---- from the library's threads

    def _on_head(self, *, status_code: int, headers: list[tuple[str, str]], **_: Any) -> None:
        self._tell(self._took_head, status_code, headers)

    def _on_body(self, *, chunk: bytes, **_: Any) -> None:
        self._tell(self._took_body, bytes(chunk))

    def _on_remote_end(self, future: "concurrent.futures.Future[None]") -> None:
        if future.exception() is None:
            self._tell(self._took_end)

    def _on_completion(self, future: "concurrent.futures.Future[int]") -> None:
        error = future.exception()
        self._tell(self._took_completion, "" if error is None else _name_of(error))

    def _tell[*Values](self, act: Callable[[*Values], None], *values: *Values) -> None:
        # A loop that is closed has nobody left who would want to know.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act, *values)

    # ---- on the event loop

    def _took_head(self, status: int, headers: list[tuple[str, str]]) -> None:
        if not self.head.done():
            self.head.set_result((status, headers))

    def _took_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._has_more.set()

    def _took_end(self) -> None:
        self._has_ended = True
        self._has_more.set()

    def _took_completion(self, error_name: str) -> None:
        self._is_complete.set()
        if not self._has_ended:
            self._failure = error_name or "ended by neither side"
        if not self.head.done():
            self.head.set_exception(Vanished(self._failure or "ended without an answer"))
        self._has_more.set()

    # ---- for whoever reads and writes

    @property
    def has_ended(self) -> bool:
        """Whether the server has said that its answer is complete."""
        return self._has_ended

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> bytes:
        """The next piece of the body; its credit goes back to the server.

        Raises:
            StopAsyncIteration: the answer is complete.
            Vanished: it broke off.
        """
        while not self._chunks:
            if self._has_ended:
                raise StopAsyncIteration
            if self._is_complete.is_set():
                raise Vanished(self._failure)
            self._has_more.clear()
            await self._has_more.wait()
        chunk = self._chunks.popleft()
        # It may be over already: then nobody wants credit.
        with contextlib.suppress(AwsCrtError, RuntimeError):
            self._stream.update_window(len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Send a piece of the request's body; waits until the server's windows have taken it.

        Raises:
            Vanished: the stream is over.
        """
        try:
            await bridged(self._stream.write_data(BytesIO(data), False))
        except (AwsCrtError, RuntimeError) as error:
            raise Vanished(_name_of(error)) from None

    def finish(self) -> None:
        """END_STREAM behind what was written."""
        with contextlib.suppress(AwsCrtError, RuntimeError):
            self._stream.write_data(None, True)

    def reset(self) -> None:
        """Close the connection at once, and the stream with it."""
        self._connection.close()

    async def until_complete(self) -> None:
        """Wait until nothing more goes in either direction."""
        await self._is_complete.wait()


async def bridged[T](future: "concurrent.futures.Future[T]", abandoned: Callable[[T], None] | None = None) -> T:
    """What the library's future brings. Who is cancelled meanwhile leaves the future as it is, since the library is not
    prepared for one that is cancelled; `abandoned` gets the result that came too late."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not done.done():
            done.set_result(None)

    def on_done(_: "concurrent.futures.Future[T]") -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    future.add_done_callback(on_done)
    try:
        await done
    except asyncio.CancelledError:
        if abandoned is not None:
            future.add_done_callback(lambda late: None if late.exception() is not None else abandoned(late.result()))
        raise
    return future.result()


def _name_of(error: BaseException) -> str:
    return str(getattr(error, "name", "")) or type(error).__name__
