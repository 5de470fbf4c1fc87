"""What the SDK sends its requests with: one for each stream, so that the stream knows its own request."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Mapping
from typing import Any, Self, cast

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from smithy_http import tuples_to_fields
from smithy_http.aio import HTTPResponse

from parley.aws.connector import Connector
from parley.aws.ending import end_tasks
from parley.aws.exchange import Exchange, Vanished
from parley.aws.failure import AwsError, Refusal, connect_error

_BODY_MAX_BYTES = 16_384
_BODY_TIMEOUT_S = 2.0
_HTTPS_PORT = 443


class StreamTransport:
    """Carries one event stream. `failure` is why there is none, or `exchange` what there is. `headers` are sent beside
    those that are signed."""

    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS = ()

    def __init__(self, connector: Connector, headers: Mapping[str, str] | None = None) -> None:
        self._connector = connector
        self._headers = headers or {}
        self._requesting: asyncio.Task[Any] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._is_settled = False
        self.exchange: Exchange | None = None
        self.failure: AwsError | None = None

    async def send(self, request: Any, *, request_config: Any = None) -> HTTPResponse:
        """See smithy_http.aio.interfaces.HTTPClient.

        Raises:
            AwsError: there is no stream to be had.
        """
        if self._is_settled:
            raise asyncio.CancelledError
        # The SDK's own; who stops waiting for the SDK at the wrong moment leaves it running.
        self._requesting = asyncio.current_task()
        place = request.destination
        port = place.port or _HTTPS_PORT
        try:
            connection = await self._connector.connect(place.host, port)
            self.exchange = exchange = _begun(connection, _marshalled(request, self._headers))
            status, headers = await asyncio.shield(exchange.head)
        except (AwsCrtError, Vanished) as error:
            self.failure = connect_error(f"{place.host}:{port}", error)
            raise self.failure from None
        if status != 200:
            named = {name.lower(): value for name, value in headers}
            self.failure = Refusal.read(status, named, await _beginning(exchange)).error
            raise self.failure
        self._writer = asyncio.create_task(_write(exchange, request.body))
        return HTTPResponse(status=status, fields=tuples_to_fields(headers), body=exchange)

    def reset(self) -> None:
        """Drop the stream, if there is one."""
        if self._writer is not None:
            self._writer.cancel()
        if self.exchange is not None:
            self.exchange.reset()

    async def settle(self, timeout_s: float) -> None:
        """Drop the stream and wait for what belongs to it, the connection for `timeout_s` at most."""
        self._is_settled = True
        self.reset()
        await end_tasks(task for task in (self._requesting, self._writer) if task is not None)
        if self.exchange is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.exchange.until_complete()

    async def close(self) -> None:
        """See smithy_http.aio.interfaces.HTTPClient. The stream sees to its end itself."""

    def __deepcopy__(self, memo: Any) -> Self:
        # The SDK copies its settings for each call, and the transport with them.
        return self


def _begun(connection: Any, request: HttpRequest) -> Exchange:
    try:
        return Exchange(connection, request)
    except (AwsCrtError, RuntimeError) as error:
        # It went in this moment; the second kind is the library's for what it can't do any more.
        connection.close()
        raise Vanished(str(error)) from None


async def _write(exchange: Exchange, body: AsyncIterable[bytes]) -> None:
    """The request's events as they come; behind the last one END_STREAM."""
    try:
        async for chunk in body:
            await exchange.write(bytes(chunk))
    except Vanished:
        # Whoever reads finds out too, and knows what to make of it.
        return
    exchange.finish()


async def _beginning(exchange: Exchange) -> bytes:
    """As much of a refusal's body as is worth reading."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in exchange:
                body += chunk
                if len(body) > _BODY_MAX_BYTES:
                    break
    except (Vanished, TimeoutError):
        pass
    exchange.reset()
    return bytes(body[:_BODY_MAX_BYTES])


def _marshalled(request: Any, more: Mapping[str, str]) -> HttpRequest:
    """The SDK's request as the library's. Path and headers are those that were signed, and `more` that were not."""
    place = request.destination
    fields = [(field.name, value) for field in request.fields.entries.values() for value in field.values]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.append(("host", place.netloc))
    fields += more.items()
    query = f"?{place.query}" if place.query is not None else ""
    path = f"{place.path if place.path is not None else '/'}{query}"
    return cast(HttpRequest, HttpRequest(request.method, path, HttpHeaders(fields)))
