"""Bodies of requests are asked for, or not, once it is known who sends them."""

from aiohttp import web

from parley.core.errors import ParleyError
from parley.ingress.answers import error_response
from parley.ingress.small_reads import WIDE_BYTES, reads_of


async def expect_later(request: web.Request) -> None:
    """For a route that decides later whether it takes the body: `take_body` says `100 Continue` then."""


def check_body(request: web.Request) -> None:
    """Whether a body as its head says could be read.

    Raises:
        ParleyError: unsupported-media, for one that is compressed; bad-request, for an expectation of something else.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise ParleyError("unsupported-media", "Send the body as it is, without a Content-Encoding.")
    if _expectation(request) not in ("", "100-continue"):
        raise ParleyError("bad-request", "The Expect header may say `100-continue`.")


def take_body(request: web.Request) -> None:
    """The body, which was checked, is wanted: read it as fast as it comes, and tell a client that waits for this
    (RFC 9110 section 10.1.1)."""
    reads = reads_of(request.transport)
    if reads is not None:
        reads.widen()
        # What comes behind it may be anybody's.
        request.content.on_eof(reads.narrow)
    request.content.set_read_chunk_size(WIDE_BYTES)
    transport = request.transport
    if _expectation(request) and transport is not None and not transport.is_closing():
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def refuse_body(error: ParleyError) -> web.Response:
    """The answer to a request whose body nobody wants: the last one on its connection."""
    response = error_response(error)
    response.force_close()
    return response


def _expectation(request: web.Request) -> str:
    return request.headers.get("Expect", "").strip().lower()
