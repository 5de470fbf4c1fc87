"""Who is let in by a signature, and what everybody else is told."""

import asyncio
import dataclasses
from collections.abc import Mapping
from hashlib import sha256

import pytest
from aws_sdk_signers import URI, AsyncSigV4Signer, AWSCredentialIdentity, AWSRequest, Field, Fields
from hypothesis import given
from hypothesis import strategies as st

from parley.access.identity import Identity, RequestHead
from parley.access.principal import principal_of, principal_of_key
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.access.sigv4.payload import UNSIGNED_PAYLOAD
from parley.wire.event_stream import Decoder
from tests.access.sigv4 import javascript
from tests.access.sigv4.scene import (
    KEY,
    NOW_S,
    Clock,
    Keys,
    message_of,
    outcome,
    refusal,
    request_of,
    why,
    with_header,
    with_more,
)
from tests.support.boto import head_of, signed_headers
from tests.support.signing import (
    AUTHORITY,
    CREDENTIALS,
    EVENT_STREAM,
    EVENTS,
    TARGET,
    Credentials,
    EventSigner,
    SignedHead,
    sign_request,
    stamp,
)

STYLES = ("python", "node")
TOKEN = "a-session-token"
TEMPORARY = Credentials("ASIDOFATEST", CREDENTIALS.secret_access_key, TOKEN)
TEMPORARY_KEY = AccessKey("ASIDOFATEST", CREDENTIALS.secret_access_key, TOKEN, expires_at_s=NOW_S + 3600)


class Door:
    """A server that verifies, with its clock and keys."""

    def __init__(self, *keys: AccessKey, **options: object) -> None:
        self.clock = Clock()
        self.keys = Keys(*(keys or (KEY, TEMPORARY_KEY)))
        self.authenticator = SigV4Authenticator(self.keys, clock=self.clock, **options)  # type: ignore[arg-type]

    def enter(self, request: SignedHead | RequestHead) -> Identity:
        return self.authenticator.authenticate(request_of(request) if isinstance(request, SignedHead) else request)

    def why(self, request: SignedHead | RequestHead) -> tuple[str, str]:
        return why(self.enter, request)


def signed(**options: object) -> SignedHead:
    return sign_request(**{"time_s": NOW_S, **options})  # type: ignore[arg-type]


# ---- who is let in


@pytest.mark.parametrize("style", STYLES)
def test_a_known_key_is_let_in_as_its_principal(style: str) -> None:
    assert Door().enter(signed(style=style)).caller.principal == principal_of_key(CREDENTIALS.access_key_id)


@pytest.mark.parametrize("style", STYLES)
def test_the_stream_of_a_request_is_verified_from_its_signature_on(style: str) -> None:
    head = signed(style=style, credentials=TEMPORARY)
    guard = Door().enter(head).guard
    signer = EventSigner(head.seed, TEMPORARY, clock=lambda: NOW_S)
    assert guard is not None
    assert [guard.open(message_of(signer.sign(payload))) for payload in (b"one", b"two", b"")] == [b"one", b"two", b""]


def test_a_stream_of_another_request_is_refused() -> None:
    door, head = Door(), signed(style="node")
    first, second = door.enter(signed(style="node")).guard, door.enter(head).guard
    event = message_of(EventSigner(head.seed, clock=lambda: NOW_S).sign(b"one"))
    assert first is not None
    assert second is not None
    assert second.open(event) == b"one"
    assert outcome(first.open, event) == "invalid-signature"


def test_the_principal_is_the_one_that_other_listeners_see() -> None:
    head = signed()
    assert Door().enter(head).caller.principal == principal_of(dict(head.headers)["authorization"])


def test_keys_of_one_principal_are_one() -> None:
    old = dataclasses.replace(KEY, principal="captions")
    new = dataclasses.replace(TEMPORARY_KEY, principal="captions")
    door = Door(old, new)
    assert door.enter(signed()).caller.principal == door.enter(signed(credentials=TEMPORARY)).caller.principal


def test_a_key_may_stand_for_another_one() -> None:
    door = Door(KEY, dataclasses.replace(TEMPORARY_KEY, principal=KEY.access_key_id))
    assert door.enter(signed(credentials=TEMPORARY)).caller.principal == principal_of_key(KEY.access_key_id)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "local"])
def test_any_region_is_taken_where_none_is_set(region: str) -> None:
    assert Door().enter(signed(region=region)).guard is not None


def test_the_region_that_is_set_is_taken() -> None:
    assert Door(region="eu-central-1").enter(signed(region="eu-central-1")).guard is not None


@pytest.mark.parametrize("apart_s", [-299, 300])
def test_a_clock_may_be_five_minutes_wrong(apart_s: int) -> None:
    assert Door().enter(signed(time_s=NOW_S + apart_s)).guard is not None


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_request_as_awss_signer_for_python_signs_it_is_let_in(token: str) -> None:
    request = AWSRequest(
        destination=URI(scheme="https", host="localhost", port=8443, path=TARGET, query=""),
        method="POST",
        body=None,
        fields=Fields(
            [Field(name="content-type", values=[EVENT_STREAM]), Field(name="x-amz-date", values=[stamp(NOW_S)])]
        ),
    )
    key = TEMPORARY_KEY if token else KEY
    identity = AWSCredentialIdentity(
        access_key_id=key.access_key_id, secret_access_key=key.secret_access_key, session_token=token or None
    )
    properties = {"region": "us-east-1", "service": "sagemaker", "date": stamp(NOW_S)}
    done = asyncio.run(AsyncSigV4Signer().sign(request=request, identity=identity, properties=properties))  # type: ignore[arg-type]
    headers = tuple((field.name.lower(), field.as_string()) for field in done.fields)
    assert (
        Door().enter(RequestHead("POST", TARGET + "?", ((":authority", AUTHORITY), *headers), signs_events=True)).guard
        is not None
    )


def test_a_stream_as_awss_signer_for_javascript_signs_it_is_verified_to_its_end() -> None:
    guard = Door().enter(RequestHead("POST", TARGET, javascript.HEADERS, signs_events=True)).guard
    assert guard is not None
    decoder = Decoder()
    opened = [guard.open(message) for data in javascript.EVENTS for message in decoder.feed(data)]
    assert [decoder.decode(event).payload if event else b"" for event in opened] == [b"one", b"two", b""]


# ---- requests without a stream of events


@pytest.mark.parametrize("headers", [{}, {"X-Amz-Content-SHA256": UNSIGNED_PAYLOAD}])
def test_an_upgrade_as_botocore_signs_it_is_let_in(headers: Mapping[str, str]) -> None:
    target = "/v1/realtime?resume=1"
    signed_by_boto = signed_headers(target, headers=headers, time_s=NOW_S, credentials=TEMPORARY)
    identity = Door().enter(head_of("GET", target, signed_by_boto))
    assert identity.caller.principal == principal_of_key(TEMPORARY_KEY.access_key_id)
    assert (identity.guard, identity.body) == (None, None)


@pytest.mark.parametrize(("said", "is_guarded"), [(sha256(b"audio").hexdigest(), True), (UNSIGNED_PAYLOAD, False)])
def test_a_body_is_guarded_if_its_hash_is_signed(said: str, is_guarded: bool) -> None:
    signed_by_boto = signed_headers(
        "/invocations", method="POST", body=b"audio", headers={"X-Amz-Content-SHA256": said}, time_s=NOW_S
    )
    request = head_of("POST", "/invocations", {**signed_by_boto, "content-length": "5"})
    assert (Door().enter(request).body is not None) is is_guarded


def test_a_body_whose_hash_botocore_signs_without_saying_it_is_not_taken() -> None:
    signed_by_boto = signed_headers("/invocations", method="POST", body=b"audio", time_s=NOW_S)
    request = head_of("POST", "/invocations", {**signed_by_boto, "content-length": "5"})
    code, detail = Door().why(request)
    assert code == "invalid-signature"
    assert detail.startswith("It has a body and no x-amz-content-sha256: sign that header as well")


def test_what_is_signed_for_a_stream_of_events_is_good_for_nothing_else() -> None:
    request = dataclasses.replace(request_of(signed()), signs_events=False)
    assert Door().why(request)[0] == "invalid-signature"


def test_what_is_signed_for_a_request_begins_no_stream_of_events() -> None:
    request = head_of("GET", "/v1/realtime", signed_headers("/v1/realtime", time_s=NOW_S))
    assert Door().why(dataclasses.replace(request, signs_events=True))[0] == "invalid-signature"


def test_an_upgrade_is_taken_once_more_within_seconds_and_then_is_a_replay() -> None:
    door, request = Door(), head_of("GET", "/v1/realtime", signed_headers("/v1/realtime", time_s=NOW_S))
    door.enter(request)
    door.enter(request)
    door.clock.now_s += 10.5
    assert door.why(request)[0] == "request-replayed"


def test_only_its_own_scheme_is_recognised() -> None:
    heads = [head_of("GET", "/", {"authorization": value}) for value in ("AWS4-HMAC-SHA256 x", "Bearer x")]
    assert [Door().authenticator.recognises(head) for head in heads] == [True, False]


# ---- who is not


def test_an_unsigned_request_is_told_to_sign() -> None:
    request = RequestHead("POST", TARGET, ((":authority", AUTHORITY),))
    assert Door().why(request)[0] == "not-authenticated"


def test_another_service_is_named() -> None:
    assert Door().why(signed(service="bedrock")) == ("invalid-signature", "It is signed for the service `bedrock`.")


def test_another_region_is_named_beside_the_one_that_is_set() -> None:
    assert Door(region="eu-central-1").why(signed()) == (
        "invalid-signature",
        "It is signed for the region `us-east-1`, not `eu-central-1`.",
    )


def test_an_unknown_key_is_not_repeated() -> None:
    error = refusal(Door().enter, signed(credentials=Credentials("AKIDOFNOBODY")))
    assert error.code == "unknown-credentials"
    assert "AKIDOFNOBODY" not in str(error)


@pytest.mark.parametrize(
    ("credentials", "detail"),
    [
        (
            dataclasses.replace(TEMPORARY, session_token="another"),
            "The session token is another one than the access key's.",
        ),
        (
            dataclasses.replace(TEMPORARY, session_token=""),
            "The access key is a temporary one, and its session token is missing (AWS_SESSION_TOKEN).",
        ),
        (
            dataclasses.replace(CREDENTIALS, session_token=TOKEN),
            "The access key is a permanent one, and a session token came with it (AWS_SESSION_TOKEN).",
        ),
        (dataclasses.replace(TEMPORARY, session_token="é"), "The session token is another one than the access key's."),
    ],
)
def test_a_session_token_that_is_not_the_keys_is_told_apart(credentials: Credentials, detail: str) -> None:
    assert Door().why(signed(credentials=credentials)) == ("unknown-credentials", detail)


def test_expired_credentials_are_refused_from_their_time_on() -> None:
    door = Door()
    door.clock.now_s = TEMPORARY_KEY.expires_at_s or 0
    assert door.why(signed(credentials=TEMPORARY, time_s=door.clock.now_s)) == (
        "expired-credentials",
        "It is 2026-11-22T11:15:00Z by this server's clock.",
    )


@pytest.mark.parametrize(("apart_s", "told"), [(-300, "301 s later"), (302, "302 s earlier")])
def test_a_clock_that_is_wrong_is_told_by_how_much(apart_s: int, told: str) -> None:
    code, detail = Door().why(signed(time_s=NOW_S + apart_s))
    assert code == "clock-skew"
    assert told in detail


def test_a_wrong_secret_is_refused() -> None:
    credentials = dataclasses.replace(CREDENTIALS, secret_access_key="another-secret-of-somebody-else")
    assert Door().why(signed(credentials=credentials))[0] == "invalid-signature"


def test_a_key_that_was_taken_away_or_changed_is_no_longer_let_in() -> None:
    door = Door()
    door.enter(signed(style="node"))
    door.keys.keys[KEY.access_key_id] = dataclasses.replace(KEY, secret_access_key="a-new-secret-for-an-old-key")
    assert door.why(signed(style="node"))[0] == "invalid-signature"
    del door.keys.keys[KEY.access_key_id]
    assert door.why(signed(style="node"))[0] == "unknown-credentials"


# ---- replays


def test_a_request_with_an_id_of_its_own_is_taken_once() -> None:
    door, head = Door(), signed(style="node")
    door.enter(head)
    error = refusal(door.enter, head)
    assert error.code == "request-replayed"


def test_streams_that_one_client_opens_within_a_second_are_all_taken() -> None:
    door = Door()
    heads = [signed(style="python") for _ in range(50)]
    assert len({head.seed for head in heads}) == 1
    assert [door.enter(head).caller.principal for head in heads] == [principal_of_key(KEY.access_key_id)] * 50


@pytest.mark.parametrize("after_s", [10.5, 299.0])
def test_a_request_without_an_id_of_its_own_that_comes_back_later_is_a_replay(after_s: float) -> None:
    door, head = Door(), signed(style="python")
    door.enter(head)
    door.clock.now_s += after_s
    assert door.why(head)[0] == "request-replayed"


@pytest.mark.parametrize("style", STYLES)
def test_at_no_time_after_it_was_used_up_is_a_request_taken(style: str) -> None:
    door, head = Door(), signed(style=style, time_s=NOW_S + 299)
    door.enter(head)
    codes = set()
    for _ in range(130):
        door.clock.now_s += 10.5
        codes.add(outcome(door.enter, head))
    assert codes == {"request-replayed", "clock-skew"}


def test_a_forged_request_does_not_use_the_real_one_up() -> None:
    door, head = Door(), signed(style="node")
    assert door.why(with_header(request_of(head), "content-type", "forged"))[0] == "invalid-signature"
    assert door.enter(head).guard is not None


def test_a_server_that_can_remember_no_more_says_when_to_come_back() -> None:
    door = Door(requests_max=1)
    door.enter(signed(style="node"))
    error = refusal(door.enter, signed(style="node"))
    assert (error.code, error.retry_after_s) == ("at-capacity", 600.0)


# ---- in what order


def test_of_several_reasons_the_first_is_told() -> None:
    wrong: dict[str, object] = {
        "credentials": dataclasses.replace(TEMPORARY, secret_access_key="another-secret", session_token="another"),
        "time_s": NOW_S + 4000,
        "service": "bedrock",
    }
    door = Door()
    door.clock.now_s = NOW_S + 8000
    told = [door.why(with_more(request_of(signed(**wrong)), ("x-amz-date", "")))[0]]
    for right in (
        {"service": "sagemaker"},
        {},
        {"credentials": dataclasses.replace(TEMPORARY, secret_access_key="no")},
    ):
        told.append(door.why(signed(**{**wrong, **right}))[0])
        wrong |= right
    door.clock.now_s = NOW_S
    told.append(door.why(signed(**wrong))[0])
    told.append(door.why(signed(**{**wrong, "time_s": NOW_S}))[0])
    assert told == [
        "invalid-signature",
        "unknown-credentials",
        "unknown-credentials",
        "expired-credentials",
        "clock-skew",
        "invalid-signature",
    ]


@given(st.lists(st.tuples(st.sampled_from([":authority", "authorization", "x-amz-date"]) | st.text(), st.text())))
def test_whatever_headers_come_nobody_unsigned_is_let_in(headers: list[tuple[str, str]]) -> None:
    assert outcome(Door().enter, RequestHead("POST", TARGET, tuple(headers))) in {
        "not-authenticated",
        "invalid-signature",
    }


@pytest.mark.parametrize("payload_hash", ["UNSIGNED-PAYLOAD", "a" * 64])
def test_a_request_that_signs_no_events_gets_no_stream(payload_hash: str) -> None:
    assert Door().why(signed(payload_hash=payload_hash)) == (
        "invalid-signature",
        f"x-amz-content-sha256 is not {EVENTS}.",
    )


def test_no_refusal_shows_a_secret() -> None:
    door = Door()
    texts = [str(refusal(door.enter, signed(**{"credentials": TEMPORARY, **options}))) for options in SHOWN]
    for text in texts:
        for hidden in (TOKEN, CREDENTIALS.secret_access_key, "ASIDOFATEST", "canary"):
            assert hidden not in text


SHOWN: tuple[Mapping[str, object], ...] = (
    {"credentials": dataclasses.replace(TEMPORARY, session_token="canary")},
    {"credentials": dataclasses.replace(TEMPORARY, secret_access_key="canary")},
    {"time_s": NOW_S - 1000},
    {"service": "bedrock"},
    {"payload_hash": "canary"},
)


# ---- as one of several methods


@pytest.mark.parametrize(
    ("value", "is_recognised"), [("AWS4-HMAC-SHA256 x", True), ("AWS4-X", True), ("Bearer AWS4-", False)]
)
def test_only_a_header_of_its_own_scheme_is_its_own(value: str, is_recognised: bool) -> None:
    request = RequestHead("POST", TARGET, (("authorization", value),))
    assert Door().authenticator.recognises(request) is is_recognised


def test_a_caller_is_called_by_its_key_and_is_of_the_keys_tenant() -> None:
    caller = Door(dataclasses.replace(KEY, tenant="acme")).enter(signed()).caller
    assert (caller.name, caller.tenant, caller.method) == (f"aws:{KEY.access_key_id}", "acme", "sigv4")
