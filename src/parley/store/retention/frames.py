"""A record's file as bytes: a head that anybody may read, and frames that only its key opens.

```
file:    "PRR" version (1 byte)  length of the header (4 bytes)  header: JSON          then frames
frame:   length (4 bytes)  AES-256-GCM of an entry        nonce: the frame's number
```
Each frame is bound to the head's SHA-256 and to its own number, so that none can be changed, left out, repeated, put
elsewhere or into another file; the last entry says that it is the last, so that it shows when the end is missing.
The key is of this one file: no nonce is used twice.
"""

import hashlib
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley.core.errors import ParleyError

_MAGIC = b"PRR"
_VERSION = 1
_FIXED_BYTES = len(_MAGIC) + 1 + 4
_TAG_BYTES = 16
LENGTH_BYTES = 4
HEAD_MAX_BYTES = 4_096
FRAME_MAX_BYTES = 67_108_864
"""Of one entry: the text of a turn has 1 MiB unless the settings say otherwise."""
FRAME_OVERHEAD_BYTES = LENGTH_BYTES + _TAG_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Whose record it is, without anything that was said.

    `part` is its number among those of its session, from 1. Times are in seconds since 1970; with an `expires_s` of 0
    it is kept until it is purged. `principal` is a hash, as in `Caller`.
    """

    session_id: str
    part: int
    retention: str
    tenant: str
    principal: str
    began_s: int
    expires_s: float

    def is_over(self, now_s: float) -> bool:
        """Whether its time is over."""
        return 0.0 < self.expires_s <= now_s


_decode_header = msgspec.json.Decoder(Header).decode


def encode_head(header: Header) -> bytes:
    """A file's first bytes.

    Raises:
        ParleyError: retention-unavailable, when they are too many.
    """
    body = msgspec.json.encode(header)
    if len(body) + _FIXED_BYTES > HEAD_MAX_BYTES:
        raise ParleyError("retention-unavailable", "The names of the session and its tenant are too long.")
    return _MAGIC + bytes([_VERSION]) + len(body).to_bytes(4) + body


def decode_head(data: bytes) -> tuple[Header, int]:
    """The header at the beginning of a file's first `HEAD_MAX_BYTES`, and the length of the head.

    Raises:
        ParleyError: retention-unavailable, when there is none that this release can read.
    """
    if len(data) < _FIXED_BYTES or not data.startswith(_MAGIC) or data[len(_MAGIC)] != _VERSION:
        raise ParleyError("retention-unavailable", "A file is no record of this release.")
    end = _FIXED_BYTES + int.from_bytes(data[_FIXED_BYTES - 4 : _FIXED_BYTES])
    try:
        return _decode_header(data[_FIXED_BYTES:end]), end
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ParleyError("retention-unavailable", "A record's header is damaged.") from None


def context_of(head: bytes) -> bytes:
    """What the key of a file with this head is bound to, and each of its frames."""
    return hashlib.sha256(head).digest()


class FrameCipher:
    """Seals or opens the frames of one file, in their order."""

    __slots__ = ("_cipher", "_context", "_number")

    def __init__(self, key: bytes, head: bytes) -> None:
        self._cipher = AESGCM(key)
        self._context = context_of(head)
        self._number = 0

    def seal(self, entry: bytes) -> bytes:
        """The next frame."""
        nonce = self._next()
        sealed = self._cipher.encrypt(nonce, entry, self._context + nonce)
        return len(sealed).to_bytes(LENGTH_BYTES) + sealed

    def open(self, sealed: bytes) -> bytes:
        """The entry of the next frame, given without its length.

        Raises:
            ParleyError: retention-unavailable, when it is not as it was written, or not the next.
        """
        nonce = self._next()
        try:
            return self._cipher.decrypt(nonce, sealed, self._context + nonce)
        except InvalidTag:
            raise ParleyError("retention-unavailable", "The record was changed, or its key is another's.") from None

    def _next(self) -> bytes:
        self._number += 1
        return self._number.to_bytes(12)
