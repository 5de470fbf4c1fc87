import dataclasses
import hmac

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4.signing_key import Scope, SigningKeys, derive_signing_key

SECRET = "a-secret-of-somebody"
SCOPE = Scope("20261122", "us-east-1", "sagemaker")
letters = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def test_a_scope_reads_as_it_is_signed() -> None:
    assert str(SCOPE) == "20261122/us-east-1/sagemaker/aws4_request"


def test_the_key_of_the_example_in_awss_documentation() -> None:
    # "Derive a signing key for Signature Version 4" in the IAM user guide.
    key = derive_signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Scope("20150830", "us-east-1", "iam"))
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@given(secret=letters, region=letters, service=letters, text=st.text(max_size=40))
def test_it_signs_as_botocore_does(secret: str, region: str, service: str, text: str) -> None:
    request = AWSRequest("POST", "https://localhost/")
    request.context["timestamp"] = "20261122T101500Z"
    expected = SigV4Auth(Credentials("AKIDEXAMPLE", secret), service, region).signature(text, request)
    key = derive_signing_key(secret, Scope("20261122", region, service))
    assert hmac.digest(key, text.encode(), "sha256").hex() == expected


@pytest.mark.parametrize("part", ["date", "region", "service"])
def test_a_key_is_good_for_one_scope(part: str) -> None:
    keys = SigningKeys()
    assert keys.find(SECRET, SCOPE) != keys.find(SECRET, dataclasses.replace(SCOPE, **{part: "other"}))


def test_a_secret_that_was_replaced_is_not_found_among_the_kept_keys() -> None:
    keys = SigningKeys()
    assert keys.find(SECRET, SCOPE) != keys.find(SECRET + "2", SCOPE)
    assert keys.find(SECRET, SCOPE) == derive_signing_key(SECRET, SCOPE)


def test_a_kept_key_is_not_derived_again() -> None:
    keys = SigningKeys(kept_max=2)
    first = keys.find(SECRET, SCOPE)
    keys.find(SECRET, dataclasses.replace(SCOPE, date="20261123"))
    assert keys.find(SECRET, SCOPE) is first


def test_only_the_keys_used_last_are_kept() -> None:
    keys = SigningKeys(kept_max=2)
    first = keys.find(SECRET, SCOPE)
    for day in ("20261123", "20261124"):
        keys.find(SECRET, dataclasses.replace(SCOPE, date=day))
    again = keys.find(SECRET, SCOPE)
    assert again == first
    assert again is not first
