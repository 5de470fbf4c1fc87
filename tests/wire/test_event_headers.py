import struct
import uuid
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import ParleyError
from parley.wire.event_headers import Byte, Long, Short, Timestamp, Value, decode_headers, encode_headers
from tests.wire.strategies import header_maps, typed

ID = uuid.UUID("5a2c1b40-6a51-4a3c-9c1c-0d4f0a6f5b11")

# One of each type, by hand from the format's description.
EXAMPLES: list[tuple[Value, bytes]] = [
    (True, b"\0"),
    (False, b"\1"),
    (Byte(-2), b"\2\xfe"),
    (Short(-2), b"\3\xff\xfe"),
    (258, b"\4\0\0\1\2"),
    (Long(258), b"\5\0\0\0\0\0\0\1\2"),
    (b"\0\xff", b"\6\0\2\0\xff"),
    ("\u00fc", b"\7\0\2\xc3\xbc"),
    (Timestamp(1), b"\x08\0\0\0\0\0\0\0\1"),
    (ID, b"\x09" + ID.bytes),
]


@pytest.mark.parametrize(("value", "encoded"), EXAMPLES)
def test_each_type_has_its_bytes(value: Value, encoded: bytes) -> None:
    block = b"\4name" + encoded
    assert encode_headers({"name": value}) == block
    assert typed(decode_headers(block)) == typed({"name": value})


def test_a_timestamp_says_its_milliseconds() -> None:
    assert type(Timestamp(1_700_000_000_123).milliseconds) is int
    assert Timestamp(1_700_000_000_123).milliseconds == 1_700_000_000_123


@given(header_maps())
def test_what_was_encoded_is_decoded_with_types_and_order(headers: Mapping[str, Value]) -> None:
    assert typed(decode_headers(encode_headers(headers))) == typed(headers)


def test_no_headers_are_no_bytes() -> None:
    assert encode_headers({}) == b""
    assert decode_headers(b"") == {}


def test_decoded_headers_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        decode_headers(b"\1a\0")["a"] = False  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "bits"), [(Byte(128), 8), (Short(-32769), 16), (2**31, 32), (Long(2**63), 64), (Timestamp(2**63), 64)]
)
def test_an_integer_that_does_not_fit_is_not_encoded(value: int, bits: int) -> None:
    with pytest.raises(ValueError, match=f"does not fit into {bits} bits"):
        encode_headers({"name": value})


@pytest.mark.parametrize("value", [None, 1.5, bytearray(b"x")])
def test_a_value_of_another_type_is_not_encoded(value: object) -> None:
    with pytest.raises(TypeError, match=f"can't be a {type(value).__name__}"):
        encode_headers({"name": value})  # type: ignore[dict-item]


def test_a_name_may_be_255_bytes_long() -> None:
    name = "\u00fc" * 127 + "x"
    assert decode_headers(encode_headers({name: True})) == {name: True}
    with pytest.raises(ValueError, match="name may be 255 bytes"):
        encode_headers({name + "x": True})


@pytest.mark.parametrize("unit", ["x", b"x"])
def test_a_value_may_be_32767_bytes_long(unit: str | bytes) -> None:
    longest = unit * 32_767
    assert decode_headers(encode_headers({"name": longest})) == {"name": longest}
    with pytest.raises(ValueError, match="value may be 32767 bytes"):
        encode_headers({"name": unit * 32_768})


def test_a_block_may_be_131072_bytes_long() -> None:
    # A name of one byte, its length, a type and a length of two bytes: five for each header.
    headers = {"a": "x" * 32_763, "b": "x" * 32_763, "c": "x" * 32_763, "d": "x" * 32_763}
    assert len(encode_headers(headers)) == 131_072
    with pytest.raises(ValueError, match="headers may be 131072 bytes"):
        encode_headers({**headers, "d": "x" * 32_764})


def refusal(block: bytes, **bounds: int) -> str:
    with pytest.raises(ParleyError) as caught:
        decode_headers(block, **bounds)
    assert caught.value.code == "invalid-event-stream"
    return caught.value.detail


def test_a_value_over_its_bound_is_refused() -> None:
    assert decode_headers(b"\1a\7\0\3abc", value_max_bytes=3) == {"a": "abc"}
    too_long = "A header's value is longer than 2 bytes."
    assert refusal(b"\1a\7\0\3abc", value_max_bytes=2) == too_long
    assert refusal(b"\1a\6\0\3abc", value_max_bytes=2) == too_long
    assert refusal(b"\1a\6\xff\xff") == "A header's value is longer than 32767 bytes."


@pytest.mark.parametrize("encoded", [encoded for _, encoded in EXAMPLES])
def test_a_header_cut_anywhere_is_refused(encoded: bytes) -> None:
    block = b"\4name" + encoded
    for size in range(1, len(block)):
        assert refusal(block[:size]) == "A header is longer than what there is of its event's headers."


@pytest.mark.parametrize("code", [10, 127, 255])
def test_a_type_that_does_not_exist_is_refused(code: int) -> None:
    assert refusal(b"\1a" + bytes((code,))) == f"A header has the type {code}, which does not exist."


def test_a_name_that_occurs_twice_is_refused() -> None:
    assert refusal(b"\1a\0\1b\0\1a\0") == "A header occurs twice."


@pytest.mark.parametrize("block", [b"\1\xff\0", b"\1a\7\0\1\xff"])
def test_a_name_or_string_that_is_not_utf8_is_refused(block: bytes) -> None:
    assert refusal(block) == "A header is not UTF-8."


def assert_decoded_or_refused(block: bytes) -> None:
    try:
        headers = decode_headers(block)
    except ParleyError as error:
        code = error.code
    else:
        assert encode_headers(headers) == block
        return
    assert code == "invalid-event-stream"


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused_with_the_codes_error(block: bytes) -> None:
    assert_decoded_or_refused(block)


@given(st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 11), st.binary(max_size=12)), max_size=4))
def test_bytes_that_look_like_headers_are_decoded_or_refused(pieces: list[tuple[bytes, int, bytes]]) -> None:
    block = b"".join(
        bytes((len(name),)) + name + bytes((code,)) + (struct.pack(">H", len(rest)) + rest if code in (6, 7) else rest)
        for name, code, rest in pieces
    )
    assert_decoded_or_refused(block)
