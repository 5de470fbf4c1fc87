"""What a request is signed to carry, and whether it did."""

from hashlib import sha256

import pytest

from parley.access.identity import RequestHead
from parley.access.sigv4.payload import (
    EMPTY_PAYLOAD,
    EVENTS_PAYLOAD,
    UNSIGNED_PAYLOAD,
    BodyHash,
    body_guard,
    has_body,
    payload_hash_of,
)
from tests.access.sigv4.scene import outcome, why

HASH = sha256(b"one two").hexdigest()


def head(*headers: tuple[str, str], signs_events: bool = False) -> RequestHead:
    return RequestHead("POST", "/invocations", headers, signs_events=signs_events)


def test_a_stream_of_signed_events_is_one() -> None:
    assert payload_hash_of(head(("content-length", "7"), signs_events=True)) == EVENTS_PAYLOAD


@pytest.mark.parametrize("length", [(), (("content-length", "0"),), (("content-length", " 00 "),)])
def test_what_has_no_body_carries_nothing(length: tuple[tuple[str, str], ...]) -> None:
    assert payload_hash_of(head(*length)) == EMPTY_PAYLOAD


@pytest.mark.parametrize("framing", [("content-length", "7"), ("transfer-encoding", "chunked")])
def test_what_has_a_body_has_to_say_what_it_is(framing: tuple[str, str]) -> None:
    assert has_body(head(framing))
    code, detail = why(payload_hash_of, head(framing))
    assert code == "invalid-signature"
    assert "sign that header as well, with the body's SHA-256 or UNSIGNED-PAYLOAD" in detail


@pytest.mark.parametrize("said", [HASH, UNSIGNED_PAYLOAD, EMPTY_PAYLOAD])
def test_what_it_says_is_taken(said: str) -> None:
    assert payload_hash_of(head(("content-length", "7"), ("x-amz-content-sha256", f" {said} "))) == said


def test_the_hash_of_a_body_that_does_not_come_is_refused() -> None:
    assert outcome(payload_hash_of, head(("x-amz-content-sha256", HASH))) == "invalid-signature"
    assert outcome(payload_hash_of, head(("x-amz-content-sha256", EMPTY_PAYLOAD))) == ""


@pytest.mark.parametrize("said", ["", HASH.upper(), HASH[:-1], EVENTS_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_anything_else_is_refused(said: str) -> None:
    request = head(("content-length", "7"), ("x-amz-content-sha256", said))
    assert outcome(payload_hash_of, request) == "invalid-signature"


def test_only_a_body_with_a_hash_is_guarded() -> None:
    request = head(("content-length", "7"))
    hashes = (HASH, EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, EVENTS_PAYLOAD)
    assert [body_guard(request, one) is not None for one in hashes] == [True, True, False, False]
    assert body_guard(head(), EMPTY_PAYLOAD) is None


def test_a_body_in_pieces_is_the_one_that_was_signed() -> None:
    guard = BodyHash(HASH)
    guard.feed(b"one ")
    guard.feed(b"two")
    guard.finish()


@pytest.mark.parametrize("pieces", [[], [b"one "], [b"one two", b"!"], [b"One two"]])
def test_a_body_that_is_another_one_is_refused(pieces: list[bytes]) -> None:
    guard = BodyHash(HASH)
    for piece in pieces:
        guard.feed(piece)
    assert why(guard.finish) == (
        "invalid-signature",
        "The body is another one than x-amz-content-sha256 was signed for.",
    )
