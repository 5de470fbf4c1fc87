"""The signatures of a stream's events, each over the one before it.

```
AWS4-HMAC-SHA256-PAYLOAD
20261122T101500Z                                      of the header :date
20261122/us-east-1/sagemaker/aws4_request
hex of the signature before; at first the request's
hex of SHA-256 of the encoded header :date
hex of SHA-256 of the payload
```
"""

import hmac
import struct
from collections.abc import Callable
from hashlib import sha256

from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.signing_key import Scope, SigningKeys
from parley.access.sigv4.skew import check_skew
from parley.access.sigv4.stamp import format_stamp
from parley.core.errors import ParleyError
from parley.wire.event_stream import Message, Timestamp

EVENT_ALGORITHM = "AWS4-HMAC-SHA256-PAYLOAD"

_DATE_HEADER = struct.Struct(">7sq")
_DATE_HEAD = b"\x05:date\x08"
_SIGNATURE_BYTES = 32


class EventChain:
    """An `EventGuard`: verifies the events of one stream. After a failure, and after the last event, nothing more does.

    `clock` gives seconds since 1970. The scope's date follows that of each event: a stream may last past midnight.
    """

    __slots__ = (
        "_clock",
        "_ended_by",
        "_head",
        "_key",
        "_keys",
        "_number",
        "_previous",
        "_scope",
        "_second",
        "_signing_key",
        "_skew",
    )

    def __init__(
        self,
        seed: str,
        key: AccessKey,
        scope: Scope,
        keys: SigningKeys,
        *,
        clock: Callable[[], float],
        skew_max_s: float,
    ) -> None:
        self._previous = seed
        self._scope = scope
        self._key = key
        self._keys = keys
        self._clock = clock
        self._skew = skew_max_s
        self._second = -1
        self._head = ""
        self._signing_key = b""
        self._number = 0
        self._ended_by = ""

    def open(self, message: Message) -> bytes:
        """The payload of a signing event, verified; empty for the last one.

        Raises:
            ParleyError: invalid-signature or clock-skew.
        """
        self._number += 1
        if self._ended_by:
            raise self._invalid(self._ended_by)
        self._ended_by = "came behind one that could not be verified"
        milliseconds, signature = self._parse(message)
        seconds = milliseconds // 1000
        if seconds != self._second:
            self._begin_second(seconds)
        payload = message.payload
        date_hash = sha256(_DATE_HEADER.pack(_DATE_HEAD, milliseconds)).hexdigest()
        text = f"{self._head}{self._previous}\n{date_hash}\n{sha256(payload).hexdigest()}"
        expected = hmac.digest(self._signing_key, text.encode(), "sha256")
        if not hmac.compare_digest(expected, signature):
            raise self._invalid("does not carry the signature that follows from the one before it")
        self._previous = signature.hex()
        self._ended_by = "" if payload else "came behind the one that ended the stream"
        return payload

    def _parse(self, message: Message) -> tuple[int, bytes]:
        headers = message.headers
        date = headers.get(":date")
        signature = headers.get(":chunk-signature")
        if not isinstance(date, Timestamp) or not isinstance(signature, bytes) or len(signature) != _SIGNATURE_BYTES:
            raise self._invalid("is not signed: it lacks :date, :chunk-signature, or both")
        if len(headers) != 2:
            raise self._invalid("has headers that no signature covers")
        check_skew(date.milliseconds / 1000, self._clock(), self._skew, f"Event {self._number} of the stream")
        return date.milliseconds, signature

    def _begin_second(self, seconds: int) -> None:
        """What all events of a second have in common."""
        stamp = format_stamp(seconds)
        scope = Scope(stamp[:8], self._scope.region, self._scope.service)
        self._second = seconds
        self._head = f"{EVENT_ALGORITHM}\n{stamp}\n{scope}\n"
        self._signing_key = self._keys.find(self._key.secret_access_key, scope)

    def _invalid(self, how: str) -> ParleyError:
        return ParleyError("invalid-signature", f"Event {self._number} of the stream {how}.")
