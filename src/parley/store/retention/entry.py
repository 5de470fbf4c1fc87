"""What a record holds, ends of turns, audio, and where it ends: as MessagePack, arrays that begin with their kind.

```
[0, item, begin, end, text, text_from]      [1, begin, PCM16 LE]      [2]      [3, reason]
```
Positions are samples on the session's cursor.
"""

from dataclasses import dataclass, field

import msgspec

from parley.core.content import Text
from parley.core.errors import ParleyError


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """The final text of a turn, and its audio's interval; `text_from` is where the text begins when it is not whole."""

    item: int
    begin: int
    end: int
    text: Text
    text_from: int | None = None


@dataclass(frozen=True, slots=True)
class KeptAudio:
    """Audio from a position on: PCM16 LE, mono, at 16 kHz."""

    begin: int
    pcm: bytes = field(repr=False)

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.begin + len(self.pcm) // 2


@dataclass(frozen=True, slots=True)
class CutOff:
    """There was more than may be kept of one session: it was not kept."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last entry of a file. `reason` is the session's outcome, or `continued` for one that goes on in another."""

    reason: str


Entry = KeptTurn | KeptAudio | CutOff | Closed

CONTINUED = "continued"


class _Turn(msgspec.Struct, array_like=True, tag=0):
    item: int
    begin: int
    end: int
    text: bytes
    text_from: int | None


class _Audio(msgspec.Struct, array_like=True, tag=1):
    begin: int
    pcm: bytes


class _CutOff(msgspec.Struct, array_like=True, tag=2):
    pass


class _Closed(msgspec.Struct, array_like=True, tag=3):
    reason: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Turn | _Audio | _CutOff | _Closed).decode


def encode_entry(entry: Entry) -> bytes:
    """The entry as bytes."""
    match entry:
        case KeptTurn(item, begin, end, text, text_from):
            return _encode(_Turn(item, begin, end, text.literal, text_from))
        case KeptAudio(begin, pcm):
            return _encode(_Audio(begin, pcm))
        case CutOff():
            return _encode(_CutOff())
        case _:
            return _encode(_Closed(entry.reason))


def decode_entry(data: bytes) -> Entry:
    """The entry that bytes are of.

    Raises:
        ParleyError: retention-unavailable, when they are of none.
    """
    try:
        entry = _decode(data)
    except msgspec.MsgspecError:
        # What msgspec says may quote it.
        raise ParleyError("retention-unavailable", "The record has something that this release can't read.") from None
    match entry:
        case _Turn(item, begin, end, text, text_from):
            return KeptTurn(item, begin, end, Text(text), text_from)
        case _Audio(begin, pcm):
            return KeptAudio(begin, pcm)
        case _CutOff():
            return CutOff()
        case _:
            return Closed(entry.reason)
