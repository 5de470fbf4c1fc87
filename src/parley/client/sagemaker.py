"""A connection to a realtime server behind a SageMaker endpoint: one bidirectional stream for each.

SageMaker cuts every stream after 30 minutes, so it is to be renewed before.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from parley.aws.address import EndpointAddress, query_string
from parley.aws.failure import AwsError
from parley.aws.options import AwsOptions
from parley.aws.sdk import make_client
from parley.client.connection import ConnectionLimits
from parley.client.failure import SessionFailed
from parley.client.inbox import Inbox
from parley.client.link import Link
from parley.client.loss import NO_CLOSE_CODE, NO_CLOSE_FRAME

if TYPE_CHECKING:
    from parley.aws.client import AwsClient
    from parley.aws.stream import AwsStream, StreamEnd

RENEW_AFTER_S = 1_500.0
"""Age at which a stream is to be replaced: SageMaker's 30 minutes, less five for finding a moment between turns where
the container keeps no sessions."""

_JITTER_SHARE = 0.1
"""Clients that began together are spread over so much of that age."""


@dataclass(frozen=True, slots=True)
class SageMakerOptions:
    """`renew_after_s` is the age at which a stream is replaced, or up to a tenth less; SageMaker's limit is 1,800 s.

    Sessions that are given one `client` share its connections; it is made by `parley.aws.sdk.make_client` and closed by
    whoever made it. Else each has its own, which reaches AWS as `aws` says, within the session's own timeouts.
    """

    renew_after_s: float = RENEW_AFTER_S
    client: "AwsClient | None" = None
    aws: AwsOptions = field(default_factory=AwsOptions)


class SageMakerDialer:
    """Makes a session's streams to one endpoint. `close` it after the last of them."""

    def __init__(
        self, url: str, *, timestamps: bool, limits: ConnectionLimits, options: SageMakerOptions | None = None
    ) -> None:
        self._address = EndpointAddress.parse(url)
        self._timestamps = timestamps
        self._limits = limits
        self._options = options or SageMakerOptions()
        self._client: AwsClient | None = None

    async def __call__(self, *, resume: bool, changed: Callable[[], None]) -> Link:
        """A stream; see `link.Dial`."""
        asked = {"empty_deltas": "true"} if self._timestamps else {}
        if resume:
            asked["resume"] = "1"
        sink = _Sink(self._limits, changed)
        try:
            stream = await self._aws.open(self._address, sink, query=query_string(asked))
        except AwsError as error:
            raise _failure(error) from None
        renew_after_s = self._options.renew_after_s * (1 - _JITTER_SHARE * random.random())  # noqa: S311 (no secret)
        link = SageMakerLink(stream, sink, asyncio.get_running_loop().time() + renew_after_s)
        sink.begin(stream)
        return link

    @property
    def _aws(self) -> "AwsClient":
        if self._options.client is not None:
            return self._options.client
        if self._client is None:
            limits = self._limits
            self._client = make_client(
                replace(
                    self._options.aws,
                    connect_timeout_s=limits.connect_timeout_s,
                    close_timeout_s=limits.close_timeout_s,
                    message_max_bytes=limits.message_max_bytes,
                )
            )
        return self._client

    async def close(self) -> None:
        """Close the connections beneath the streams."""
        if self._client is not None:
            await self._client.close()


class SageMakerLink:
    """An open stream; see `link.Link`."""

    def __init__(self, stream: "AwsStream", sink: "_Sink", renew_at: float) -> None:
        self._stream = stream
        self._sink = sink
        self._renew_at = renew_at

    def send(self, message: bytes) -> None:
        """See `Link.send`."""
        self._stream.send(message)

    def receive(self) -> bytes | None:
        """See `Link.receive`."""
        return self._sink.inbox.take()

    @property
    def close_code(self) -> int | None:
        """See `Link.close_code`. SageMaker tells none; where Parley ended the stream it is that of Parley's error."""
        return self._sink.close_code

    @property
    def can_send(self) -> bool:
        """See `Link.can_send`."""
        return self._stream.is_over or not self._stream.is_blocked

    @property
    def renew_at(self) -> float | None:
        """See `Link.renew_at`."""
        return self._renew_at

    async def abort(self) -> None:
        """See `Link.abort`."""
        self._sink.inbox.discard()
        await self._stream.abort()

    async def close(self) -> None:
        """See `Link.close`."""
        self._sink.inbox.discard()
        await self._stream.close()


class _Sink:
    """Takes what a stream brings."""

    def __init__(self, limits: ConnectionLimits, changed: Callable[[], None]) -> None:
        self.close_code: int | None = None
        self.inbox = Inbox(
            messages_max=limits.inbox_max_messages, bytes_max=limits.inbox_max_bytes, set_reading=self._set_reading
        )
        self._changed = changed
        self._stream: AwsStream | None = None

    def begin(self, stream: "AwsStream") -> None:
        """This is its stream."""
        self._stream = stream

    def message_received(self, message: bytes, *, is_text: bool) -> None:
        """See `StreamSink.message_received`."""
        if self.inbox.put(message):
            self._changed()

    def writing_blocked(self) -> None:
        """See `StreamSink.writing_blocked`."""
        self._changed()

    def writing_unblocked(self) -> None:
        """See `StreamSink.writing_unblocked`."""
        self._changed()

    def stream_ended(self, end: "StreamEnd") -> None:
        """See `StreamSink.stream_ended`."""
        self.close_code = _close_code(end.error)
        self._changed()

    def _set_reading(self, is_reading: bool) -> None:
        if self._stream is None:
            return
        if is_reading:
            self._stream.resume_reading()
        else:
            self._stream.pause_reading()


def _close_code(error: AwsError | None) -> int:
    # A clean end never counts as 1000: SageMaker does not tell whether the container meant it.
    return NO_CLOSE_CODE if error is None else error.close_code or NO_CLOSE_FRAME


def _failure(error: AwsError) -> SessionFailed:
    return SessionFailed(
        error.code,
        error.message,
        fault=error.fault,
        retry=error.retry,
        retry_after_s=error.retry_after_s,
        is_foreign_text=error.is_foreign_text,
    )
