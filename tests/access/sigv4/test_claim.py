"""Claims of signed requests: their shape, and whether a key has made their signature."""

import dataclasses
import re

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from parley.access.identity import RequestHead
from parley.access.sigv4.claim import Claim, read_claim
from parley.access.sigv4.payload import EVENTS_PAYLOAD
from parley.access.sigv4.signing_key import derive_signing_key
from tests.access.sigv4.scene import NOW_S, outcome, request_of, why, with_header, with_more, without
from tests.support.signing import AUTHORITY, CREDENTIALS, Credentials, SignedHead, sign_request

STYLES = ("python", "node")
ROUTING = {
    "x-amzn-sagemaker-target-variant": "blue",
    "x-amzn-sagemaker-model-invocation-path": "v1/realtime",
    "x-amzn-sagemaker-model-query-string": "language=en",
}
TEMPORARY = Credentials("ASIDOFATEST", session_token="a-session-token")
HASH = "a" * 64


def signed(**options: object) -> SignedHead:
    return sign_request(**{"time_s": NOW_S, **options})  # type: ignore[arg-type]


def verify(request: RequestHead, payload_hash: str = EVENTS_PAYLOAD) -> Claim:
    claim = read_claim(request, payload_hash)
    claim.verify(derive_signing_key(CREDENTIALS.secret_access_key, claim.scope))
    return claim


def why_not(request: RequestHead, payload_hash: str = EVENTS_PAYLOAD) -> tuple[str, str]:
    return why(verify, request, payload_hash)


# ---- what is right


@pytest.mark.parametrize("style", STYLES)
def test_a_request_as_awss_sdk_signs_it_is_verified(style: str) -> None:
    head = signed(style=style)
    claim = verify(request_of(head))
    assert (claim.access_key_id, claim.signature, claim.signed_at_s) == (
        CREDENTIALS.access_key_id,
        head.seed,
        int(NOW_S),
    )
    assert str(claim.scope) == "20261122/us-east-1/sagemaker/aws4_request"


@pytest.mark.parametrize("style", STYLES)
def test_routing_headers_and_a_session_token_are_a_part_of_what_is_signed(style: str) -> None:
    claim = verify(request_of(signed(style=style, headers=ROUTING, credentials=TEMPORARY)))
    assert claim.session_token == "a-session-token"


def test_without_a_session_token_it_is_empty() -> None:
    assert verify(request_of(signed())).session_token == ""


def test_only_a_request_that_signs_its_own_id_is_unlike_any_other() -> None:
    assert [verify(request_of(signed(style=style))).is_unique for style in STYLES] == [False, True]


def test_the_host_may_have_become_the_authority_on_the_way() -> None:
    head = signed(style="python")
    verify(request_of(head, headers=((":authority", AUTHORITY), *head.headers)))
    verify(request_of(head, headers=(("host", AUTHORITY), *head.headers)))
    verify(request_of(head, headers=((":authority", AUTHORITY), ("host", AUTHORITY), *head.headers)))


def test_the_authority_may_have_become_the_host_on_the_way() -> None:
    head = signed(style="node")
    verify(request_of(head, headers=(("host", AUTHORITY), *head.headers)))


def test_a_bare_question_mark_is_no_query() -> None:
    head = signed(style="python")
    assert head.target.endswith("?")
    verify(request_of(head, target=head.target[:-1]))


def test_a_name_with_a_space_and_a_slash_is_verified_as_it_came() -> None:
    verify(request_of(signed(target="/endpoints/has%20space%2Fand%252Fslash/invocations-bidirectional-stream")))


@pytest.mark.parametrize(("old", "new"), [("attempt=1; max=1", "  attempt=1;   max=1 "), (AUTHORITY, f" {AUTHORITY} ")])
def test_spaces_that_were_added_to_a_header_on_the_way_do_not_matter(old: str, new: str) -> None:
    request = request_of(signed(style="node"))
    name = next(name for name, value in request.headers if value == old)
    verify(with_header(request, name, new))


def test_headers_that_nobody_signed_may_be_added_on_the_way() -> None:
    verify(with_more(request_of(signed()), ("x-forwarded-for", "10.0.0.1"), ("via", "1"), ("via", "2")))


def test_a_claim_shows_no_credential() -> None:
    claim = verify(request_of(signed(credentials=TEMPORARY)))
    for hidden in (claim.access_key_id, claim.session_token, claim.signature):
        assert hidden not in repr(claim)


def test_an_ordinary_request_is_verified_by_the_hash_of_its_body() -> None:
    head = signed(target="/v1/realtime?resume=1&model=a%20b", method="GET", payload_hash=HASH)
    verify(request_of(head), HASH)


def test_an_ordinary_request_as_botocore_signs_it_is_verified() -> None:
    request = AWSRequest("GET", f"https://{AUTHORITY}/v1/realtime?b=2&a=1", {"X-Amz-Date": "20261122T101500Z"})
    request.context["timestamp"] = "20261122T101500Z"
    credentials = BotoCredentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key)
    signer = SigV4Auth(credentials, "sagemaker", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    headers = (("host", AUTHORITY), *((name.lower(), value) for name, value in request.headers.items()))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    verify(RequestHead("GET", "/v1/realtime?b=2&a=1", headers), empty)


# ---- what is not


def test_another_key_is_refused() -> None:
    head = signed(credentials=Credentials(secret_access_key="another-secret-of-somebody-else"))
    assert why_not(request_of(head)) == (
        "invalid-signature",
        "The request's signature is not the one that this secret key makes.",
    )


def test_a_request_without_a_signature_is_told_so() -> None:
    request = without(request_of(signed()), "authorization")
    assert why_not(request) == ("not-authenticated", "Its Authorization header occurs not at all.")


def test_two_signatures_are_one_too_many() -> None:
    request = request_of(signed())
    assert why_not(with_more(request, ("authorization", dict(request.headers)["authorization"]))) == (
        "not-authenticated",
        "Its Authorization header occurs twice.",
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "name",
    ["x-amz-content-sha256", "x-amz-security-token", *ROUTING, "x-amzn-sagemaker-something-new"],
)
def test_a_header_that_decides_something_and_was_added_on_the_way_is_refused(style: str, name: str) -> None:
    request = without(request_of(signed(style=style)), "x-amz-content-sha256")
    code, detail = why_not(with_more(request, (name, "added")))
    assert code == "invalid-signature"
    if name != "x-amz-content-sha256":
        assert detail == f"The header '{name}' is not signed; somebody may have added it on the way."


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["x-amz-date", "x-amz-content-sha256"])
def test_a_request_has_to_sign_its_time_and_what_its_payload_is(style: str, name: str) -> None:
    head = signed(style=style)
    listed = dict(head.headers)["authorization"]
    request = with_header(request_of(head), "authorization", re.sub(f";{name}(?=[;,])", "", listed))
    assert why_not(request) == ("invalid-signature", f"The header {name} is not among its SignedHeaders.")


def test_an_ordinary_request_need_not_name_its_hash_but_sign_it_if_it_does() -> None:
    head = signed(payload_hash=HASH, headers={"x-amz-content-sha256": HASH}, unsigned=["x-amz-content-sha256"])
    listed = dict(head.headers)["authorization"].replace(";x-amz-content-sha256", "")
    request = with_header(request_of(head), "authorization", listed)
    assert why_not(request, HASH)[1].startswith("The header 'x-amz-content-sha256' is not signed;")


@pytest.mark.parametrize(("style", "name"), [("python", "host"), ("node", ":authority")])
def test_a_request_has_to_sign_whom_it_is_for(style: str, name: str) -> None:
    head = signed(style=style)
    listed = dict(head.headers)["authorization"]
    request = with_header(request_of(head), "authorization", re.sub(f"(?<=[=;]){name};", "", listed))
    assert why_not(request) == ("invalid-signature", "Neither host nor :authority is among its SignedHeaders.")


@pytest.mark.parametrize("name", ["content-type", "x-amz-date", "x-amzn-sagemaker-target-variant"])
def test_a_signed_header_that_was_taken_out_on_the_way_is_named(name: str) -> None:
    request = without(request_of(signed(headers=ROUTING)), name)
    assert why_not(request) == (
        "invalid-signature",
        f"The header '{name}' was signed and has not arrived; a proxy may have taken it out.",
    )


@pytest.mark.parametrize("name", [":authority", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", *ROUTING])
def test_a_header_that_decides_something_and_occurs_twice_is_refused(name: str) -> None:
    request = request_of(signed(headers=ROUTING, credentials=TEMPORARY))
    assert why_not(with_more(request, (name, dict(request.headers)[name]))) == (
        "invalid-signature",
        f"The header '{name}' occurs twice.",
    )


def test_a_long_name_of_a_header_is_cut_where_it_is_shown() -> None:
    name = "x-amzn-sagemaker-" + "é" * 200
    detail = why_not(with_more(request_of(signed()), (name, "added")))[1]
    assert len(detail) < 330
    assert detail.isascii()


def test_a_host_that_is_not_the_authority_is_refused() -> None:
    assert why_not(with_more(request_of(signed()), ("host", "elsewhere"))) == (
        "invalid-signature",
        "The headers host and :authority differ.",
    )


@pytest.mark.parametrize("other", ["UNSIGNED-PAYLOAD", HASH, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""])
def test_a_request_that_does_not_promise_signed_events_is_told_what_to_promise(other: str) -> None:
    assert why_not(request_of(signed(payload_hash=other))) == (
        "invalid-signature",
        "x-amz-content-sha256 is not STREAMING-AWS4-HMAC-SHA256-EVENTS.",
    )


def test_a_body_that_has_another_hash_is_refused() -> None:
    assert why_not(request_of(signed(payload_hash=HASH)), "b" * 64) == (
        "invalid-signature",
        "x-amz-content-sha256 is not the hash of what was sent.",
    )


@pytest.mark.parametrize("when", ["", "20261122", "2026-11-22T10:15:00Z", "20261122T251500Z"])
def test_a_time_that_is_none_is_refused(when: str) -> None:
    request = with_header(request_of(signed()), "x-amz-date", when)
    assert why_not(request) == ("invalid-signature", "x-amz-date is not a time of the form yyyymmddThhmmssZ.")


def test_a_scope_of_another_day_is_refused() -> None:
    request = with_header(request_of(signed()), "x-amz-date", "20261123T101500Z")
    assert why_not(request) == ("invalid-signature", "The date in its Credential is not that of x-amz-date.")


def test_what_cannot_have_come_from_bytes_is_refused() -> None:
    request = with_header(request_of(signed()), "content-type", "\ud800")
    assert why_not(request) == ("invalid-signature", "Something in its head can't have come from bytes.")


@pytest.mark.parametrize(
    ("change", "value"),
    [("method", "PUT"), ("target", "/endpoints/other/invocations-bidirectional-stream"), ("target", "/?a=b")],
)
def test_another_method_or_target_than_was_signed_is_refused(change: str, value: str) -> None:
    assert why_not(dataclasses.replace(request_of(signed()), **{change: value}))[0] == "invalid-signature"  # type: ignore[arg-type]


# ---- what holds for any request

SIGNED_NAMES = ["content-type", "x-amz-security-token", *ROUTING]


@given(
    style=st.sampled_from(STYLES),
    name=st.sampled_from([":authority", *SIGNED_NAMES]),
    data=st.data(),
)
def test_any_change_of_a_signed_header_is_refused(style: str, name: str, data: st.DataObject) -> None:
    request = request_of(signed(style=style, headers=ROUTING, credentials=TEMPORARY))
    value = dict(request.headers)[name]
    at = data.draw(st.integers(0, len(value) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda new: new != value[at]))
    changed = value[:at] + character + value[at + 1 :]
    assert why_not(with_header(request, name, changed))[0] == "invalid-signature"


@given(st.data())
def test_any_change_of_the_path_is_refused(data: st.DataObject) -> None:
    request = request_of(signed())
    at = data.draw(st.integers(0, len(request.target) - 2))
    character = data.draw(st.characters(codec="utf-8").filter(lambda new: new != request.target[at]))
    changed = request.target[:at] + character + request.target[at + 1 :]
    assert why_not(dataclasses.replace(request, target=changed))[0] == "invalid-signature"


@given(st.data())
def test_any_change_of_the_signature_is_refused(data: st.DataObject) -> None:
    head = signed()
    at = data.draw(st.integers(0, 63))
    digit = data.draw(st.sampled_from([digit for digit in "0123456789abcdef" if digit != head.seed[at]]))
    forged = head.seed[:at] + digit + head.seed[at + 1 :]
    listed = dict(head.headers)["authorization"].replace(head.seed, forged)
    assert why_not(with_header(request_of(head), "authorization", listed))[0] == "invalid-signature"


names = (
    st.sampled_from([":authority", "host", "authorization", "content-type", "x-amz-date", *SIGNED_NAMES]) | st.text()
)
texts = st.text(st.characters()) | st.text()


@given(
    method=texts,
    target=texts,
    headers=st.lists(st.tuples(names, texts), max_size=8),
    payload_hash=st.sampled_from([EVENTS_PAYLOAD, HASH]),
    is_signed=st.booleans(),
)
def test_any_request_is_a_claim_or_refused(
    method: str, target: str, headers: list[tuple[str, str]], payload_hash: str, is_signed: bool
) -> None:
    fields = (*(request_of(signed(payload_hash=payload_hash)).headers if is_signed else ()), *headers)
    code = outcome(verify, RequestHead(method, target, fields), payload_hash)
    assert code in {"not-authenticated", "invalid-signature"}
