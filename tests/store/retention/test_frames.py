"""A record's file as bytes: its head, and frames that only fit in their own place."""

from dataclasses import replace

import pytest

from parley.core.errors import ParleyError
from parley.store.retention.frames import (
    HEAD_MAX_BYTES,
    LENGTH_BYTES,
    FrameCipher,
    context_of,
    decode_head,
    encode_head,
)
from tests.store.retention.records import HEADER, NOW

KEY = b"k" * 32
HEAD = encode_head(HEADER)


def sealed(*entries: bytes, key: bytes = KEY, head: bytes = HEAD) -> list[bytes]:
    cipher = FrameCipher(key, head)
    return [cipher.seal(entry)[LENGTH_BYTES:] for entry in entries]


def opened(*frames: bytes, key: bytes = KEY, head: bytes = HEAD) -> list[bytes]:
    cipher = FrameCipher(key, head)
    return [cipher.open(frame) for frame in frames]


def is_refused(*frames: bytes, key: bytes = KEY, head: bytes = HEAD) -> bool:
    with pytest.raises(ParleyError) as caught:
        opened(*frames, key=key, head=head)
    return caught.value.code == "retention-unavailable"


def test_a_head_is_read_as_it_was_written() -> None:
    assert decode_head(HEAD + b"frames") == (HEADER, len(HEAD))


@pytest.mark.parametrize(
    "data",
    [b"", b"PRR", b"XXX" + HEAD[3:], HEAD[:3] + b"\x02" + HEAD[4:], HEAD[:-1], HEAD[:9] + b"\xff" + HEAD[10:]],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ParleyError, match="retention-unavailable"):
        decode_head(data)


def test_a_header_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ParleyError, match="too long"):
        encode_head(replace(HEADER, tenant="t" * HEAD_MAX_BYTES))


@pytest.mark.parametrize(("expires_s", "is_over"), [(NOW, True), (NOW + 1.0, False), (0.0, False)])
def test_a_record_is_over_when_it_expires_if_it_does(expires_s: float, is_over: bool) -> None:
    assert replace(HEADER, expires_s=expires_s).is_over(NOW) is is_over


def test_frames_are_opened_in_their_order() -> None:
    assert opened(*sealed(b"one", b"two")) == [b"one", b"two"]


def test_the_length_of_a_frame_goes_before_it() -> None:
    frame = FrameCipher(KEY, HEAD).seal(b"one")
    assert int.from_bytes(frame[:LENGTH_BYTES]) == len(frame) - LENGTH_BYTES


def test_the_same_entry_looks_different_each_time() -> None:
    first, second = sealed(b"one", b"one")
    assert first != second


def test_frames_that_changed_places_are_refused() -> None:
    first, second = sealed(b"one", b"two")
    assert is_refused(second, first)


def test_a_frame_that_was_repeated_is_refused() -> None:
    (first,) = sealed(b"one")
    assert is_refused(first, first)


def test_a_frame_that_was_left_out_is_noticed_at_the_next() -> None:
    _, second = sealed(b"one", b"two")
    assert is_refused(second)


def test_a_frame_of_another_file_is_refused_even_under_the_same_key() -> None:
    other = encode_head(replace(HEADER, session_id="sess-2"))
    assert is_refused(*sealed(b"one", head=other))


def test_a_frame_under_another_key_is_refused() -> None:
    assert is_refused(*sealed(b"one", key=b"x" * 32))


def test_a_changed_bit_is_noticed() -> None:
    (frame,) = sealed(b"one")
    assert is_refused(bytes([frame[0] ^ 1]) + frame[1:])


def test_a_changed_header_is_noticed() -> None:
    frames = sealed(b"one")
    assert is_refused(*frames, head=encode_head(replace(HEADER, expires_s=HEADER.expires_s + 1.0)))


def test_the_context_of_a_head_is_its_own() -> None:
    assert context_of(HEAD) != context_of(encode_head(replace(HEADER, part=2)))
