"""The keys that signatures are made with: derived from the secret for a day, a region and a service."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

TERMINATOR = "aws4_request"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signing key is good for: a day as `yyyymmdd`, a region and a service."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


def derive_signing_key(secret_access_key: str, scope: Scope) -> bytes:
    """The 32 bytes that sign within the scope (Signature Version 4, "Derive a signing key")."""
    key = b"AWS4" + secret_access_key.encode()
    for part in (scope.date, scope.region, scope.service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class SigningKeys:
    """Derives signing keys and keeps those used last, `kept_max` of them."""

    __slots__ = ("_derive",)

    def __init__(self, kept_max: int = 256) -> None:
        # The secret is a part of what is looked up: a key with a new one never meets what the old one derived.
        self._derive: Callable[[str, Scope], bytes] = lru_cache(maxsize=kept_max)(derive_signing_key)

    def find(self, secret_access_key: str, scope: Scope) -> bytes:
        """The signing key of a secret for a scope."""
        return self._derive(secret_access_key, scope)
