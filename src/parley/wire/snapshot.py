"""A session's state as bytes, for servers of this release and of others.

```
MessagePack:  [version, readable_by, body]      body: MessagePack of a StoredSession, fields by their names
```
`version` is that of the writer, `readable_by` the least version of a reader that makes sense of the body. A reader
passes over fields that it does not know, and takes defaults for those that are not there; so a field that may be passed
over raises `version` alone, and anything else both.
"""

from typing import Any

import msgspec

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.snapshot import StoredSession

VERSION = 1
READABLE_BY = 1


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    version: int
    readable_by: int
    body: bytes


def _plain(value: Any) -> Any:
    if isinstance(value, Audio):
        return value.samples, value.payload
    if isinstance(value, Text):
        return value.literal
    raise NotImplementedError(f"{type(value).__name__} is not part of a state")


def _content(kind: type, value: Any) -> Any:
    if kind is Audio:
        samples, payload = value
        return Audio(payload, samples)
    return kind(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)
_body_decoder = msgspec.msgpack.Decoder(StoredSession, dec_hook=_content)


def encode(stored: StoredSession, bytes_max: int) -> bytes:
    """The session as bytes.

    Raises:
        ParleyError: state-unreadable, when there would be more of them than `bytes_max`.
    """
    data = _encoder.encode(_Envelope(VERSION, READABLE_BY, _encoder.encode(stored)))
    if len(data) > bytes_max:
        raise ParleyError("state-unreadable", f"It is larger than {bytes_max} bytes.")
    return data


def decode(data: bytes, bytes_max: int) -> StoredSession:
    """The session that bytes are of.

    Raises:
        ParleyError: state-unsupported, when only a later release can read it; state-unreadable, when none can.
    """
    if len(data) > bytes_max:
        raise ParleyError("state-unreadable", f"It is larger than {bytes_max} bytes.")
    try:
        envelope = _envelope_decoder.decode(data)
        if envelope.readable_by <= VERSION:
            return _body_decoder.decode(envelope.body)
    except msgspec.MsgspecError:
        # What msgspec says may quote the state.
        raise ParleyError("state-unreadable", "It is not what this release writes.") from None
    detail = f"It takes version {envelope.readable_by} of the state's format; this release has {VERSION}."
    raise ParleyError("state-unsupported", detail)
