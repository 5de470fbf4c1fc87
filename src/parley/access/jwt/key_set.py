"""An issuer's public keys, from the document that it publishes (JWKS, RFC 7517)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

DOCUMENT_MAX_BYTES = 65_536
KEYS_MAX = 100
KEY_ID_MAX_CHARS = 256
RSA_MIN_BITS = 2_048

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
EDDSA, ED25519 = "EdDSA", "Ed25519"
"""Two names of one algorithm, since Ed25519 is the only curve here: the older one, and the one that says which curve
(RFC 9864 section 2.2)."""
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


def same_algorithm(name: str) -> str:
    """The one name under which an algorithm is compared, as settings have it."""
    return EDDSA if name == ED25519 else name


class KeySetError(Exception):
    """The document is no set of keys. Its text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key: its id, empty without one, and the algorithms that its type, and what it says of itself, let it
    verify."""

    id: str
    algorithms: frozenset[str]
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer; `passed_over` counts those that can't verify a token."""

    keys: tuple[VerificationKey, ...]
    passed_over: int = 0

    def find(self, key_id: str | None) -> tuple[VerificationKey, ...]:
        """Those of this id; all, for a token that names none."""
        return self.keys if key_id is None else tuple(key for key in self.keys if key.id == key_id)


def parse_key_set(document: bytes) -> KeySet:
    """The keys of a document that can verify tokens: public ones, for signatures, of a type and size that is known.

    Raises:
        KeySetError: it is no such document, is too large, or has none of them.
    """
    if len(document) > DOCUMENT_MAX_BYTES:
        raise KeySetError(f"It is larger than {DOCUMENT_MAX_BYTES} bytes.")
    try:
        root = json.loads(document)
    except (ValueError, RecursionError):
        raise KeySetError("It is not JSON.") from None
    listed = root.get("keys") if isinstance(root, dict) else None
    if not isinstance(listed, list):
        raise KeySetError("It is no JSON object with a list of `keys`.")
    if len(listed) > KEYS_MAX:
        raise KeySetError(f"It has {len(listed)} keys; {KEYS_MAX} are allowed.")
    found = tuple(key for one in listed if isinstance(one, dict) and (key := _read(one)) is not None)
    if not found:
        raise KeySetError("None of its keys can verify a signature.")
    return KeySet(found, len(listed) - len(found))


def _read(entry: Mapping[str, Any]) -> VerificationKey | None:
    """A key; None for one that is none, is for something else, or is secret."""
    key_id = entry.get("kid", "")
    operations = entry.get("key_ops", ["verify"])
    if (
        not isinstance(key_id, str)
        or len(key_id) > KEY_ID_MAX_CHARS
        or entry.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        # A private part, which has no place there, or a secret that signs as well as it verifies.
        or "d" in entry
        or entry.get("kty") == "oct"
    ):
        return None
    algorithms = _algorithms(entry)
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK(dict(entry), sorted(algorithms)[0]).key
    except (jwt.exceptions.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_MIN_BITS:
        return None
    return VerificationKey(key_id, algorithms, key)


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    """What a key of this type verifies, and of that what it says that it is for."""
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            able = frozenset(_RSA)
        case "EC", str(curve) if curve in _CURVES:
            able = frozenset((_CURVES[curve],))
        case "OKP", "Ed25519":
            able = frozenset((EDDSA,))
        case _:
            able = frozenset()
    named = entry.get("alg")
    return able if named is None else able & {same_algorithm(named)} if isinstance(named, str) else frozenset()
