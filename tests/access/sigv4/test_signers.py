"""Whose key a claim names, and whether it was signed with it. All else is in `test_authenticator`."""

import dataclasses

import pytest

from parley.access.principal import principal_of_key
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.claim import Claim, read_claim
from parley.access.sigv4.payload import EVENTS_PAYLOAD
from parley.access.sigv4.signers import Signers
from tests.access.sigv4.scene import KEY, NOW_S, Keys, outcome, request_of, why
from tests.support.signing import CREDENTIALS, Credentials, sign_request

TOKEN = "a-session-token"
TEMPORARY = AccessKey("ASIDOFATEST", CREDENTIALS.secret_access_key, TOKEN, expires_at_s=NOW_S + 60)


def claim(**options: object) -> Claim:
    head = sign_request(**{"time_s": NOW_S, **options})  # type: ignore[arg-type]
    return read_claim(request_of(head), EVENTS_PAYLOAD)


def test_a_holder_is_called_by_its_key_or_by_whom_the_key_is_for() -> None:
    shared = dataclasses.replace(KEY, principal="captions", tenant="acme")
    callers = [Signers(Keys(key)).verify(claim(), key) for key in (KEY, shared)]
    assert [(one.name, one.tenant, one.method) for one in callers] == [
        (f"aws:{KEY.access_key_id}", "", "sigv4"),
        ("aws:captions", "acme", "sigv4"),
    ]
    assert [one.principal for one in callers] == [principal_of_key(KEY.access_key_id), principal_of_key("captions")]


def test_a_holder_is_good_for_as_long_as_its_key() -> None:
    credentials = Credentials("ASIDOFATEST", session_token=TOKEN)
    signers, said = Signers(Keys(TEMPORARY)), claim(credentials=credentials)
    assert signers.verify(said, signers.find(said, NOW_S)).expires_at_s == NOW_S + 60
    assert outcome(signers.find, said, NOW_S + 60) == "expired-credentials"


def test_another_secret_does_not_verify() -> None:
    other = dataclasses.replace(KEY, secret_access_key="another-secret-of-somebody-else")
    assert outcome(Signers(Keys(other)).verify, claim(), other) == "invalid-signature"


@pytest.mark.parametrize(("service", "region"), [("s3", "us-east-1"), ("sagemaker", "eu-central-1")])
def test_another_service_or_region_is_refused(service: str, region: str) -> None:
    signers = Signers(Keys(KEY), region="us-east-1")
    assert outcome(signers.find, claim(service=service, region=region), NOW_S) == "invalid-signature"


@pytest.mark.parametrize(
    ("key", "token", "told"),
    [
        (TEMPORARY, "", "is missing"),
        (dataclasses.replace(KEY, access_key_id="ASIDOFATEST"), TOKEN, "a session token came with it"),
        (TEMPORARY, "another", "is another one"),
    ],
)
def test_a_session_token_has_to_be_the_keys(key: AccessKey, token: str, told: str) -> None:
    said = claim(credentials=Credentials("ASIDOFATEST", session_token=token))
    code, detail = why(Signers(Keys(key)).find, said, NOW_S)
    assert code == "unknown-credentials"
    assert told in detail


def test_an_unknown_key_is_refused() -> None:
    assert outcome(Signers(Keys()).find, claim(), NOW_S) == "unknown-credentials"
