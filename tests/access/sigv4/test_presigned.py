"""Signatures in URLs, as botocore makes them, and everything that may be wrong with one."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.identity import Identity, RequestHead
from parley.access.principal import principal_of_key
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.presigned import EXPIRES_MAX_S, PresignedQuery
from tests.access.sigv4.scene import KEY, NOW_S, Clock, Keys, outcome, why
from tests.support.boto import head_of, presigned_target, signed_headers
from tests.support.signing import CREDENTIALS, Credentials

PATH = "/v1/realtime"
TOKEN = "a-session/token+with=all"
TEMPORARY = Credentials("ASIDOFATEST", CREDENTIALS.secret_access_key, TOKEN)
TEMPORARY_KEY = AccessKey("ASIDOFATEST", CREDENTIALS.secret_access_key, TOKEN, expires_at_s=NOW_S + 3600)


class Door:
    """A server that verifies URLs, with its clock."""

    def __init__(self, **options: object) -> None:
        self.clock = Clock()
        keys = Keys(KEY, TEMPORARY_KEY)
        self.method = PresignedQuery(keys, clock=self.clock, **options)  # type: ignore[arg-type]

    def enter(self, target: str, **changes: object) -> Identity:
        head = head_of("GET", target, {})
        return self.method.authenticate(dataclasses.replace(head, **changes))  # type: ignore[arg-type]


def presigned(target: str = PATH, **options: object) -> str:
    return presigned_target(target, **{"time_s": NOW_S, **options})  # type: ignore[arg-type]


def replaced(target: str, name: str, value: str) -> str:
    changed, count = re.subn(rf"(?<=[?&]){name}=[^&]*", f"{name}={value}", target)
    assert count == 1
    return changed


# ---- what is right


@pytest.mark.parametrize("target", [PATH, f"{PATH}?resume=1", f"{PATH}?z=1&a=%20b%2Fc&empty=", f"{PATH}?auth=event"])
def test_a_url_as_botocore_signs_it_is_taken(target: str) -> None:
    identity = Door().enter(presigned(target))
    assert identity.caller.principal == principal_of_key(KEY.access_key_id)
    assert (identity.caller.method, identity.guard, identity.body) == ("sigv4", None, None)


def test_temporary_credentials_bring_their_token_in_the_url() -> None:
    assert Door().enter(presigned(credentials=TEMPORARY)).caller.expires_at_s == TEMPORARY_KEY.expires_at_s


@pytest.mark.parametrize("after_s", [0, 30, 59])
def test_a_url_may_be_used_again_until_it_expires(after_s: float) -> None:
    door, target = Door(), presigned(expires_s=60)
    door.enter(target)
    door.clock.now_s = int(NOW_S) + after_s
    door.enter(target)


@pytest.mark.parametrize("ahead_s", [1, 299])
def test_a_clock_may_be_five_minutes_ahead(ahead_s: int) -> None:
    Door().enter(presigned(time_s=NOW_S + ahead_s))


def test_a_payload_that_is_said_to_be_unsigned_is_none_here() -> None:
    door = Door()
    target = presigned(f"{PATH}?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD")
    # botocore signs the hash of nothing all the same.
    assert outcome(door.enter, target) == "invalid-signature"
    assert outcome(door.enter, presigned(f"{PATH}?X-Amz-Content-Sha256={'a' * 64}")) == "invalid-signature"


def test_it_is_recognised_by_any_part_of_a_signature() -> None:
    method = Door().method
    heads = [
        head_of("GET", target, {})
        for target in (presigned(), f"{PATH}?X%2DAmz-Signature=1", f"{PATH}?X-Amz-Other=1", PATH, "/X-Amz-Signature")
    ]
    assert [method.recognises(head) for head in heads] == [True, False, False, False, False]
    assert not method.recognises(head_of("GET", PATH, signed_headers(PATH, time_s=NOW_S)))
    assert not method.is_beside_others


# ---- what is not


@pytest.mark.parametrize("after_s", [60, 61, 10_000])
def test_a_url_is_over_from_its_time_on(after_s: float) -> None:
    door, target = Door(), presigned(expires_s=60)
    door.clock.now_s = int(NOW_S) + after_s
    code, detail = why(door.enter, target)
    assert code == "expired-credentials"
    assert detail.startswith("The URL was good until 2026-11-22T10:16:00Z; it is ")


@pytest.mark.parametrize("expires", ["0", str(EXPIRES_MAX_S + 1), "604800", "", "-1", "1e3", "60.5", "٦٠"])
def test_a_url_is_good_for_an_hour_at_most(expires: str) -> None:
    code, detail = why(Door().enter, replaced(presigned(), "X-Amz-Expires", expires))
    assert code == "invalid-signature"
    assert detail == "X-Amz-Expires is to be a number of seconds from 1 to 3600."


def test_a_url_that_was_signed_in_the_future_is_refused() -> None:
    assert outcome(Door().enter, presigned(time_s=NOW_S + 302)) == "clock-skew"


@pytest.mark.parametrize(
    "name",
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"],
)
def test_each_part_has_to_be_there_once(name: str) -> None:
    target = presigned()
    part = re.search(rf"{name}=[^&]*", target)
    assert part is not None
    assert why(Door().enter, target.replace(part[0], "")) == ("not-authenticated", f"Its query has no {name}.")
    assert why(Door().enter, f"{target}&{part[0]}") == ("not-authenticated", f"Its query has {name} twice.")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "not-authenticated"),
        ("X-Amz-Credential", "AKIDOFATEST", "not-authenticated"),
        ("X-Amz-Credential", "A,Credential=B", "not-authenticated"),
        ("X-Amz-Date", "yesterday", "invalid-signature"),
        ("X-Amz-Date", "20261121T101500Z", "invalid-signature"),
        ("X-Amz-SignedHeaders", "x-amz-date", "invalid-signature"),
        ("X-Amz-SignedHeaders", "Host", "not-authenticated"),
        ("X-Amz-Signature", "0" * 64, "invalid-signature"),
        ("X-Amz-Signature", "short", "not-authenticated"),
        ("X-Amz-Expires", "61", "invalid-signature"),
    ],
)
def test_a_part_that_was_changed_is_refused(name: str, value: str, code: str) -> None:
    assert outcome(Door().enter, replaced(presigned(), name, value)) == code


def test_what_else_the_url_says_is_signed_as_well() -> None:
    door = Door()
    assert outcome(door.enter, presigned().replace(PATH, "/invocations-bidirectional-stream")) == "invalid-signature"
    assert outcome(door.enter, presigned() + "&resume=1") == "invalid-signature"


def test_whom_it_is_for_is_signed_as_well() -> None:
    assert outcome(Door().enter, presigned(), headers=(("host", "another.example"),)) == "invalid-signature"


@pytest.mark.parametrize("header", ["x-amzn-sagemaker-target-variant", "x-amz-security-token"])
def test_a_header_that_decides_something_may_not_be_added(header: str) -> None:
    headers = (("host", "localhost:8443"), (header, "added"))
    assert outcome(Door().enter, presigned(), headers=headers) == "invalid-signature"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"credentials": Credentials("AKIDOFNOBODY")}, "unknown-credentials"),
        ({"credentials": dataclasses.replace(TEMPORARY, session_token="other")}, "unknown-credentials"),
        ({"credentials": dataclasses.replace(CREDENTIALS, secret_access_key="another-one")}, "invalid-signature"),
        ({"service": "s3"}, "invalid-signature"),
        ({"region": "eu-central-1"}, "invalid-signature"),
    ],
)
def test_another_key_service_or_region_is_refused(options: dict[str, object], code: str) -> None:
    assert outcome(Door(region="us-east-1").enter, presigned(PATH, **options)) == code


@pytest.mark.parametrize(
    "changes",
    [{"method": "POST"}, {"signs_events": True}, {"headers": (("host", "localhost:8443"), ("content-length", "1"))}],
)
def test_only_a_get_request_without_a_body_may_be_presigned(changes: dict[str, object]) -> None:
    code, detail = why(Door().enter, presigned(), **changes)
    assert code == "invalid-signature"
    assert detail.startswith("A presigned URL is for a GET request")


@given(st.text().map(lambda text: f"{PATH}?X-Amz-Signature={text}") | st.text())
def test_any_target_is_refused_and_nothing_else_happens(target: str) -> None:
    head = RequestHead("GET", target, (("host", "localhost"),))
    method = Door().method
    method.recognises(head)
    assert outcome(method.authenticate, head) in ("not-authenticated", "invalid-signature")
