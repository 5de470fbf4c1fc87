import hashlib

import pytest

from parley.access.principal import principal_of, principal_of_key
from tests.support.signing import Credentials, sign_request


def authorization(access_key_id: str = "AKIDEXAMPLE", **options: float) -> str:
    head = sign_request(credentials=Credentials(access_key_id), **options)  # type: ignore[arg-type]
    return dict(head.headers)["authorization"]


def test_without_credentials_a_request_is_nobodys() -> None:
    assert principal_of("") == ""


def test_a_principal_is_a_hash_that_does_not_show_the_key() -> None:
    assert principal_of_key("AKIDEXAMPLE") == hashlib.sha256(b"AKIDEXAMPLE").hexdigest()


@pytest.mark.parametrize("time_s", [0, 1_795_342_500])
def test_a_signature_is_its_access_keys_whenever_it_was_made(time_s: float) -> None:
    assert principal_of(authorization(time_s=time_s)) == principal_of_key("AKIDEXAMPLE")


def test_two_access_keys_are_two_principals() -> None:
    assert principal_of(authorization("AKIDEXAMPLE")) != principal_of(authorization("AKIDEXAMPLE2"))


def test_a_bearer_token_is_a_principal_as_a_whole() -> None:
    assert principal_of("Bearer one") == hashlib.sha256(b"Bearer one").hexdigest()
    assert principal_of("Bearer one") != principal_of("Bearer two")


def test_a_header_of_any_bytes_is_a_principal() -> None:
    header = b"Bearer \xff".decode("utf-8", "surrogateescape")
    assert principal_of(header) == hashlib.sha256(b"Bearer \xff").hexdigest()
