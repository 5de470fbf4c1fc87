"""The operation InvokeEndpointWithBidirectionalStream, as a request asks for it: its route, headers, their patterns.

Lengths and patterns are those of the service model (version 2025-10-01).
"""

import re
from urllib.parse import unquote

from parley.core.errors import ParleyError
from parley.ingress.http2.exchange import Headers, Request
from parley.ingress.invocation import Invocation
from parley.wire.event_stream import CONTENT_TYPE

_ROUTE = re.compile(r"/endpoints/([^/]*)/invocations-bidirectional-stream")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_NAME_MAX_CHARS = 63
_PATH = re.compile(r"[A-Za-z0-9\-._]+(?:/[A-Za-z0-9\-._]+)*")
_PATH_MAX_CHARS = 100
_PAIR = r"[a-zA-Z0-9][A-Za-z0-9_-]*=(?:[A-Za-z0-9._~\-]|%[0-9A-Fa-f]{2})+"
_QUERY = re.compile(rf"{_PAIR}(?:&{_PAIR})*")
_QUERY_MAX_CHARS = 2_048

_VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"
_PATH_HEADER = "X-Amzn-SageMaker-Model-Invocation-Path"
_QUERY_HEADER = "X-Amzn-SageMaker-Model-Query-String"


def path_of(request: Request) -> str:
    """The request's path alone."""
    return request.target.partition("?")[0]


def is_operation(request: Request) -> bool:
    """Whether the request's path is the operation's. Anything may stand for the endpoint's name."""
    return _ROUTE.fullmatch(path_of(request)) is not None


def parse_operation(request: Request) -> Invocation:
    """What a request of the operation asks for.

    Raises:
        ParleyError: bad-request, which says what of it is wrong.
    """
    if request.method != "POST":
        raise ParleyError("bad-request", "The method is to be POST.")
    headers = request.headers
    # A media type's parameters change nothing here (RFC 9110 section 8.3.1).
    if (_field(headers, "Content-Type") or "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise ParleyError("bad-request", f"The Content-Type is to be {CONTENT_TYPE}.")
    route = _ROUTE.fullmatch(path_of(request))
    assert route is not None, "the path is the operation's"
    return Invocation(
        endpoint=_checked("The endpoint's name", unquote(route[1]), _NAME, _NAME_MAX_CHARS),
        variant=_routing(headers, _VARIANT_HEADER, _NAME, _NAME_MAX_CHARS),
        path=_routing(headers, _PATH_HEADER, _PATH, _PATH_MAX_CHARS),
        query=_routing(headers, _QUERY_HEADER, _QUERY, _QUERY_MAX_CHARS),
    )


def _routing(headers: Headers, name: str, pattern: re.Pattern[str], chars_max: int) -> str:
    value = _field(headers, name)
    return "" if value is None else _checked(name, value, pattern, chars_max)


def _field(headers: Headers, name: str) -> str | None:
    wanted = name.lower().encode()
    values = [value for field, value in headers if field == wanted]
    if len(values) > 1:
        raise ParleyError("bad-request", f"{name} was sent more than once.")
    return values[0].decode("latin-1") if values else None


def _checked(what: str, value: str, pattern: re.Pattern[str], chars_max: int) -> str:
    # The length first: the pattern is then matched against something short.
    if len(value) > chars_max:
        raise ParleyError("bad-request", f"{what} is longer than {chars_max} characters.")
    if not pattern.fullmatch(value):
        raise ParleyError("bad-request", f"{what} does not match {pattern.pattern}.")
    return value
