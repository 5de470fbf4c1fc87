"""An error of the table as the body and the headers of an HTTP answer, or as all of it."""

from http import HTTPStatus

import msgspec

from parley.core.errors import ParleyError


def error_body(error: ParleyError) -> bytes:
    """The JSON body of an HTTP error: readable by a person, and the table's data for a program."""
    spec = error.spec
    body: dict[str, object] = {
        "error": {
            "code": spec.code,
            "message": error.message,
            "fault": spec.fault,
            "retry": spec.retry,
            "retry_after_s": error.retry_after_s,
            "type": spec.openai_type,
        }
    }
    return msgspec.json.encode(body)


def error_headers(error: ParleyError) -> dict[str, str]:
    """The HTTP headers that go with an error."""
    headers = {"Content-Type": "application/json", "x-amzn-errortype": error.spec.aws_exception}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if error.spec.http_status == HTTPStatus.UNAUTHORIZED:
        # RFC 9110 section 15.5.2 wants one; access.md has the others.
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_response(error: ParleyError, status: int = 0) -> bytes:
    """The whole answer, for a connection that is closed behind it; with another `status` where HTTP has a closer one
    than the table."""
    status, body = status or error.spec.http_status, error_body(error)
    fields = error_headers(error) | {"Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
