"""An API key: `parley_`, an id, and a secret of 256 random bits, of which only a salted hash is kept.

The secret is random, so there is nothing to guess that a slow hash would have to be slow for: SHA-256 with a salt does.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

PREFIX = "parley_"
SALT_BYTES = 16
_ID_BYTES = 6
_SECRET_BYTES = 32

ID = re.compile(r"[0-9a-f]{12}")
_KEY = re.compile(r"parley_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key. Times are in seconds since 1970.

    `name` is whose it is: several keys may have one name, so that a new one can be put to use before the old one ends.
    """

    id: str
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    name: str
    tenant: str = ""
    roles: tuple[str, ...] = ()
    description: str = ""
    created_at_s: float = 0.0
    expires_at_s: float | None = None
    revoked_at_s: float | None = None

    def fits(self, secret: str) -> bool:
        """Whether this is its secret; in a time that says nothing of where it differs."""
        return hmac.compare_digest(hash_of(self.salt, secret), self.hash)

    def is_over(self, now_s: float) -> bool:
        """Whether it is no longer good at this time."""
        return self.revoked_at_s is not None or (self.expires_at_s is not None and now_s >= self.expires_at_s)


@dataclass(frozen=True, slots=True)
class Presented:
    """A key as somebody sends it."""

    id: str
    secret: str = field(repr=False)


def parse(text: str) -> Presented | None:
    """The parts of a key; None when it is none."""
    found = _KEY.fullmatch(text)
    return None if found is None else Presented(found[1], found[2])


def make(random: Callable[[int], bytes]) -> tuple[Presented, bytes]:
    """A new key, and the salt of its hash; `random` gives so many random bytes."""
    secret = urlsafe_b64encode(random(_SECRET_BYTES)).rstrip(b"=").decode()
    return Presented(random(_ID_BYTES).hex(), secret), random(SALT_BYTES)


def written(key: Presented) -> str:
    """The key as its user keeps and sends it."""
    return f"{PREFIX}{key.id}_{key.secret}"


def hash_of(salt: bytes, secret: str) -> bytes:
    """What is kept instead of a secret."""
    return hashlib.sha256(salt + secret.encode()).digest()
