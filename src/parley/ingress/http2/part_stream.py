"""One stream's input, from its bytes to whoever takes its parts."""

import logging
from typing import Protocol

from parley.core.errors import ParleyError
from parley.ingress.http2.part_reader import PartReader
from parley.wire.payload_part import PayloadPart

_log = logging.getLogger("parley.ingress")


class PartTaker(Protocol):
    """What becomes of a stream's parts. No method waits."""

    def take(self, part: PayloadPart) -> None:
        """A part.

        Raises:
            ParleyError: the stream can't go on.
        """

    def input_ended(self) -> None:
        """Nothing more comes, and nothing is missing; the client still reads.

        Raises:
            ParleyError: something is missing nevertheless.
        """

    def fail(self, error: ParleyError) -> None:
        """The stream can't go on: tell the client, and end."""

    def lost(self) -> None:
        """The client is gone."""

    def writing_blocked(self) -> None:
        """The client does not read."""

    def writing_unblocked(self) -> None:
        """It reads again."""


class PartStream:
    """An `ExchangeHandler` that decodes parts, and ends the stream explicitly when that fails."""

    def __init__(self, reader: PartReader, taker: PartTaker, request_id: str) -> None:
        self._reader = reader
        self._taker = taker
        self._request_id = request_id
        self._is_broken = False
        self.lost = taker.lost
        self.writing_blocked = taker.writing_blocked
        self.writing_unblocked = taker.writing_unblocked

    def data_received(self, data: bytes) -> None:
        """See `ExchangeHandler`."""
        if self._is_broken:
            return
        try:
            for part in self._reader.feed(data):
                self._taker.take(part)
        except Exception as error:
            self._break(error)

    def input_ended(self) -> None:
        """See `ExchangeHandler`."""
        if self._is_broken:
            return
        try:
            self._reader.finish()
            if not self._reader.is_proven:
                # Old SDKs leave the last event out; so does somebody who cuts a stream.
                _log.debug("stream %s ended without the event that proves it complete", self._request_id)
            self._taker.input_ended()
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        self._is_broken = True
        if isinstance(error, ParleyError):
            _log.info("stream %s is broken: %s", self._request_id, error.code)
            self._taker.fail(error)
            return
        # Its text may hold content: the type and the traceback's places are what is logged.
        _log.error("stream %s failed: %s", self._request_id, type(error).__name__, exc_info=error)
        self._taker.fail(ParleyError("internal-error"))
