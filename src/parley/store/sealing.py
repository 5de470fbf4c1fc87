"""States that only the resume token opens: AES-256-GCM, under a key that is derived from the token.

```
sealed:  "PSS"  version (1 byte)  nonce (12 bytes)  ciphertext and tag
key:     HKDF-SHA256(token, salt = SHA-256(store key), info = a label)         store key: SHA-256(token)
```
The first four bytes and the salt are authenticated with it, so that a state is good under its own key alone. A store
that is read by others tells them how many sessions there are, when they were stored and how large they are.
"""

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from parley.core.errors import ParleyError

_MAGIC = b"PSS"
_VERSION = 1
_HEAD = _MAGIC + bytes([_VERSION])
NONCE_BYTES = 12
_TAG_BYTES = 16
_LABEL = b"parley session state v1"

OVERHEAD_BYTES = len(_HEAD) + NONCE_BYTES + _TAG_BYTES
"""How much larger a sealed state is."""


@dataclass(frozen=True, slots=True)
class StateKeys:
    """Where a session's state is kept, and what opens it."""

    store_key: bytes = field(repr=False)
    secret: bytes = field(repr=False)


def state_keys(token: str) -> StateKeys:
    """What follows from a resume token; the token does not follow from it."""
    store_key = hashlib.sha256(token.encode()).digest()
    kdf = HKDF(algorithm=SHA256(), length=32, salt=hashlib.sha256(store_key).digest(), info=_LABEL)
    return StateKeys(store_key, kdf.derive(token.encode()))


def seal(state: bytes, keys: StateKeys, nonce: bytes) -> bytes:
    """A state that nobody can read or change without the token. `nonce` is random, of `NONCE_BYTES`, and never used
    again."""
    return _HEAD + nonce + AESGCM(keys.secret).encrypt(nonce, state, _bound_to(_HEAD, keys))


def unseal(sealed: bytes, keys: StateKeys) -> bytes:
    """The state that was sealed.

    Raises:
        ParleyError: state-unsupported, when a later release sealed it in another way; state-unreadable, when it is not
            a state, not the one of this token, or not as it was.
    """
    if len(sealed) < OVERHEAD_BYTES or not sealed.startswith(_MAGIC):
        raise ParleyError("state-unreadable", "It is not a sealed state.")
    if sealed[len(_MAGIC)] > _VERSION:
        raise ParleyError("state-unsupported", "It is sealed in another way.")
    head, nonce = sealed[: len(_HEAD)], sealed[len(_HEAD) : len(_HEAD) + NONCE_BYTES]
    try:
        return AESGCM(keys.secret).decrypt(nonce, sealed[len(_HEAD) + NONCE_BYTES :], _bound_to(head, keys))
    except InvalidTag:
        raise ParleyError("state-unreadable", "It was changed, or belongs to another session.") from None


def _bound_to(head: bytes, keys: StateKeys) -> bytes:
    return head + hashlib.sha256(keys.store_key).digest()
