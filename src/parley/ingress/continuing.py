"""Bodies of requests are asked for, or not, once it is known who sends them."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from parley.core.errors import ParleyError
from parley.ingress.answers import error_response
from parley.ingress.small_reads import reads_of


async def expect_later(request: web.Request) -> None:
    """For a route that decides later whether it takes the body: `take_body` says `100 Continue` then."""


async def take_body(request: web.Request) -> None:
    """The body is wanted: read it as fast as it comes, and tell a client that waits for this (RFC 9110 section 10.1.1).

    Raises:
        ParleyError: bad-request, for another expectation.
    """
    reads = reads_of(request.transport)
    if reads is not None:
        reads.widen()
    expected = request.headers.get("Expect", "")
    if not expected:
        return
    if expected.lower() != "100-continue":
        raise ParleyError("bad-request", "The Expect header may say `100-continue`.")
    transport = request.transport
    if transport is not None and not transport.is_closing():
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def refuse_body(request: web.Request, error: ParleyError) -> web.Response:
    """The answer to a request that nothing more is read of."""
    plain = error_response(error)
    response = _LastAnswer(request, body=plain.body, status=plain.status, headers=plain.headers)
    response.force_close()
    return response


class _LastAnswer(web.Response):
    """An answer behind which the connection is closed at once: otherwise aiohttp reads and throws away what still comes
    for some seconds, whoever sends it."""

    def __init__(self, request: web.Request, *, body: Any, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(body=body, status=status, headers=headers)
        self._asked_by = request

    async def write_eof(self, data: bytes = b"") -> None:
        """See `web.StreamResponse`."""
        await super().write_eof(data)
        self._asked_by.protocol.force_close()
