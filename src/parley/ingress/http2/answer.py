"""The answer of one stream: its head, parts, and an end that is explicit.

Before the head an error is an HTTP status with the body of one of the service model's shapes; behind it, an exception
event. AWS's SDKs take both for the exception class that the shape's name says.
"""

import asyncio
from email.utils import formatdate

import msgspec
from h2.errors import ErrorCodes

from parley.core.errors import Fault, ParleyError
from parley.ingress.http2.exchange import Exchange, Headers
from parley.wire.event_stream import CONTENT_TYPE
from parley.wire.payload_part import encode_internal_stream_failure, encode_model_stream_error, encode_part

_MODEL_ERROR = "ModelError"
_MODEL_ERROR_STATUS = 424


def error_answer(error: ParleyError, request_id: str) -> tuple[int, Headers, bytes]:
    """An error before the stream: status, header fields and body.

    An error with the status that a container answered with is a `ModelError`, whatever it is about.
    """
    shape, status = error.spec.aws_exception, error.spec.http_status
    if error.original_status:
        shape, status = _MODEL_ERROR, _MODEL_ERROR_STATUS
    body: dict[str, object] = {"Message": error.message, "ErrorCode": error.code}
    if shape == _MODEL_ERROR:
        body["OriginalMessage"] = error.detail or error.spec.summary
        if error.original_status:
            body["OriginalStatusCode"] = error.original_status
    encoded = msgspec.json.encode(body)
    headers = [
        (b"date", _date()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(encoded)),
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amzn-errortype", shape.encode()),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        # In milliseconds, and the only one that AWS's SDK for Python reads.
        headers.append((b"x-amz-retry-after", b"%d" % round(error.retry_after_s * 1000)))
    return status, tuple(headers), encoded


def _date() -> bytes:
    # AWS's clients set their clock by it when a signature's time was wrong.
    return formatdate(usegmt=True).encode()


class Answer:
    """Writes one stream's answer. After `refuse` and `end` nothing more is written.

    A client that does not read its end within `close_timeout_s` has its stream reset.
    """

    def __init__(self, exchange: Exchange, request_id: str, close_timeout_s: float) -> None:
        self._exchange = exchange
        self._has_begun = False
        self.close_timeout_s = close_timeout_s
        self.request_id = request_id
        self.is_over = False

    def begin(self, variant: str) -> None:
        """The stream is taken, by this variant of its endpoint."""
        self._has_begun = True
        headers = (
            (b"date", _date()),
            (b"content-type", CONTENT_TYPE.encode()),
            (b"x-amzn-requestid", self.request_id.encode()),
            (b"x-amzn-invoked-production-variant", variant.encode()),
        )
        self._exchange.respond(200, headers)

    def write_part(self, data: bytes, *, is_text: bool = True, is_complete: bool = True) -> None:
        """Write a part.

        Raises:
            ValueError: it is longer than an event may be.
        """
        if not self.is_over:
            self._exchange.write(encode_part(data, is_text=is_text, is_complete=is_complete))

    def refuse(self, error: ParleyError) -> None:
        """The stream is not taken."""
        if not self.is_over:
            status, headers, body = error_answer(error, self.request_id)
            self._exchange.respond(status, headers)
            self._exchange.write(body)
            self._finish()

    def end(self, error: ParleyError | None) -> None:
        """All is said: the exception for an error, and the end."""
        if self.is_over:
            return
        if not self._has_begun:
            self.refuse(error or ParleyError("internal-error"))
            return
        if error is not None:
            self._exchange.write(_exception(error))
        self._finish()

    def lost(self) -> None:
        """Nobody hears it any more."""
        self.is_over = True

    def cut(self) -> None:
        """Reset the stream."""
        self.is_over = True
        self._exchange.reset(int(ErrorCodes.CANCEL))

    def _finish(self) -> None:
        self.is_over = True
        self._exchange.finish()
        # Not cancelled: to an exchange that is over a reset does nothing.
        asyncio.get_running_loop().call_later(self.close_timeout_s, self.cut)


def _exception(error: ParleyError) -> bytes:
    if error.spec.fault is Fault.SERVER:
        # It has no field for a code, so the message begins with it.
        return encode_internal_stream_failure(str(error))
    return encode_model_stream_error(error.message, error.code)
