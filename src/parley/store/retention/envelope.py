"""What the keys of records are wrapped in: a key from a file, or whatever else implements `Envelope`, as a KMS does.

```
wrapped:  id of the wrapping key (8 bytes)  nonce (12 bytes)  AES-256-GCM of the record's key, bound to a context
```
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley.core.errors import ParleyError

KEY_BYTES = 32
KEYS_MAX = 8
"""Keys in a file: the first wraps, the others unwrap what was wrapped before it came."""

_FILE_MAX_BYTES = 4_096
_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_WRAPPED_BYTES = _ID_BYTES + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_ID_LABEL = b"parley retention wrapping key"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_FIX = "`openssl rand -hex 32` makes one, and `chmod 600` closes the file to others."


class Envelope(Protocol):
    """Wraps the keys of records. What implements it may be far away: whoever calls it sets a time limit."""

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        """The key, so that nobody can use it without the envelope; good again only with the same context.

        Raises:
            ParleyError: retention-unavailable.
        """

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key that was wrapped with this context.

        Raises:
            ParleyError: retention-unavailable, also when it was changed or belongs to something else.
        """


class UnusableKeyError(Exception):
    """A file holds no key that could be used; the text says why and what to do, and nothing of the file."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A wrapping key, and by what it is told from others; that says nothing of it."""

    cipher: AESGCM = field(repr=False)
    id: bytes

    @classmethod
    def of(cls, secret: bytes) -> "_Key":
        return cls(AESGCM(secret), hashlib.sha256(_ID_LABEL + secret).digest()[:_ID_BYTES])


class FileEnvelope:
    """An `Envelope` of keys from a file, one a line, as hex or base64. `random` gives so many random bytes.

    Raises UnusableKeyError, when made, for a file that can't be read, that others can, or that holds something else.
    """

    def __init__(self, path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._keys = [_Key.of(secret) for secret in _read(path)]

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        """See `Envelope.wrap`."""
        first, nonce = self._keys[0], self._random(_NONCE_BYTES)
        return first.id + nonce + first.cipher.encrypt(nonce, key, first.id + context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `Envelope.unwrap`."""
        if len(wrapped) != _WRAPPED_BYTES:
            raise ParleyError("retention-unavailable", "The record's key is not as it was written.")
        own = next((key for key in self._keys if key.id == wrapped[:_ID_BYTES]), None)
        if own is None:
            raise ParleyError("retention-unavailable", "The record's key was wrapped in one that is not in the file.")
        nonce, sealed = wrapped[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], wrapped[_ID_BYTES + _NONCE_BYTES :]
        try:
            return own.cipher.decrypt(nonce, sealed, own.id + context)
        except InvalidTag:
            raise ParleyError("retention-unavailable", "The record's key was changed, or is another's.") from None


def _read(path: Path) -> list[bytes]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise UnusableKeyError(f"the key file can't be read: {error.strerror or type(error).__name__}.") from None
    if mode & _OTHERS:
        raise UnusableKeyError(f"the key file is open to others than its owner. {_FIX}")
    lines = content.split()
    if not 1 <= len(lines) <= KEYS_MAX or len(content) > _FILE_MAX_BYTES:
        raise UnusableKeyError(f"the key file has to hold 1 to {KEYS_MAX} keys, one a line. {_FIX}")
    return [_secret(number, line) for number, line in enumerate(lines, 1)]


def _secret(number: int, line: bytes) -> bytes:
    try:
        secret = binascii.unhexlify(line) if len(line) == 2 * KEY_BYTES else base64.b64decode(line, validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise UnusableKeyError(f"line {number} of the key file is not {KEY_BYTES} bytes in hex or base64. {_FIX}")
    return secret
