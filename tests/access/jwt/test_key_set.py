"""The keys of an issuer: which of them verify what, and which are passed over."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from parley.access.jwt.key_set import DOCUMENT_MAX_BYTES, KeySetError, parse_key_set
from tests.access.jwt.tokens import EC, ED, RSA, jwk, key_set

SMALL = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (jwk(RSA), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (jwk(RSA, alg="RS256"), {"RS256"}),
        (jwk(EC), {"ES256"}),
        (jwk(ec.generate_private_key(ec.SECP384R1())), {"ES384"}),
        (jwk(ED), {"EdDSA"}),
        (jwk(ED, alg="EdDSA", use="sig", key_ops=["verify"]), {"EdDSA"}),
        (jwk(ED, alg="Ed25519"), {"EdDSA"}),
    ],
)
def test_a_key_verifies_what_its_type_can_and_it_says(entry: dict[str, object], algorithms: set[str]) -> None:
    (key,) = parse_key_set(key_set({**entry, "kid": "one"})).keys
    assert (key.id, set(key.algorithms)) == ("one", algorithms)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        jwk(RSA, alg="HS256"),
        jwk(RSA, alg="none"),
        jwk(RSA, alg=1),
        jwk(EC, alg="RS256"),
        jwk(RSA, alg="Ed25519"),
        jwk(EC, alg="EdDSA"),
        jwk(ED, alg="Ed448"),
        jwk(ED, alg="ES256"),
        jwk(RSA, use="enc"),
        jwk(RSA, key_ops=["encrypt"]),
        jwk(RSA, key_ops="verify"),
        jwk(RSA, kid=1),
        jwk(RSA, kid="x" * 257),
        jwk(SMALL),
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key())),
        json.loads(RSAAlgorithm.to_jwk(RSA)),
        {},
        [],
        None,
    ],
)
def test_what_can_not_verify_a_token_is_passed_over(entry: object) -> None:
    found = parse_key_set(key_set(jwk(ED, kid="good"), entry))
    assert ([key.id for key in found.keys], found.passed_over) == (["good"], 1)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"{", "It is not JSON."),
        (b"[" * 20_000, "It is not JSON."),
        (b"[]", "It is no JSON object with a list of `keys`."),
        (b'{"keys": {}}', "It is no JSON object with a list of `keys`."),
        (key_set(), "None of its keys can verify a signature."),
        (key_set(*[{}] * 101), "It has 101 keys; 100 are allowed."),
        (b" " * (DOCUMENT_MAX_BYTES + 1), f"It is larger than {DOCUMENT_MAX_BYTES} bytes."),
    ],
)
def test_what_is_no_set_of_keys_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(KeySetError) as caught:
        parse_key_set(document)
    assert str(caught.value) == why


def test_keys_are_found_by_their_ids_and_all_of_them_without_one() -> None:
    found = parse_key_set(key_set(jwk(RSA, kid="a"), jwk(ED, kid="b"), jwk(EC)))
    assert [key.id for key in found.find("b")] == ["b"]
    assert found.find("c") == ()
    assert len(found.find(None)) == 3


def test_a_key_is_not_printed() -> None:
    (key,) = parse_key_set(key_set(jwk(RSA, kid="a"))).keys
    assert "RSA" not in repr(key)
