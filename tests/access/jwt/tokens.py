"""An issuer: its keys, the document that it publishes them in, and tokens as it and others make them."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "parley"
NOW_S = 1_795_342_500.0

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, **fields: Any) -> dict[str, Any]:
    """The public part of a key, as it is published."""
    algorithm: Any = RSAAlgorithm
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = ECAlgorithm
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = OKPAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), **fields}


def key_set(*entries: Any) -> bytes:
    """The document of these keys."""
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good ones, with changes; None takes one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": NOW_S + 300, "iat": NOW_S - 10}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    payload: dict[str, Any] | None = None,
    *,
    key: Any = RSA,
    algorithm: str = "RS256",
    kid: str | None = "one",
    **header: Any,
) -> str:
    """A token, signed."""
    headers = {**({} if kid is None else {"kid": kid}), **header}
    return jwt.encode(claims() if payload is None else payload, key, algorithm=algorithm, headers=headers)


def raw(header: bytes, payload: bytes, signature: bytes = b"") -> str:
    """A token of any parts."""
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload, signature))
