from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import ParleyError
from parley.wire.event_headers import Timestamp, Value
from parley.wire.event_stream import MESSAGE_MAX_BYTES, PAYLOAD_MAX_BYTES, Decoder, Message, encode
from tests.wire.strategies import CHANGES, cuts, framed, messages, mutated, typed

PART = {":event-type": "PayloadPart", "DataType": "UTF8"}
SECRET = b"confidential"


def refusal(decoder: Decoder, data: bytes) -> tuple[str, str]:
    with pytest.raises(ParleyError) as caught:
        decoder.feed(data)
    assert SECRET.decode() not in str(caught.value)
    return caught.value.code, caught.value.detail


def flat(found: list[Message]) -> list[tuple[object, bytes]]:
    return [(typed(message.headers), message.payload) for message in found]


def test_a_message_has_its_bytes() -> None:
    # The empty message that AWS's own test suites begin with.
    assert encode({}, b"") == bytes.fromhex("0000001000000000 05c248eb 7d98c8ff")
    assert encode({"a": True}, b"xyz") == framed(b"\1a\0", b"xyz")


def test_a_message_comes_back_as_it_was() -> None:
    data = encode(PART, b"abc")
    assert Decoder().feed(data) == [Message(PART, b"abc")]
    assert Decoder().decode(data) == Message(PART, b"abc")


def test_a_message_does_not_print_what_is_in_it() -> None:
    assert repr(Message({"P": SECRET.decode()}, SECRET)) == "Message(1 headers, 12 bytes)"


@given(st.lists(messages(), max_size=4), st.lists(st.integers(0, 2_000), max_size=6))
def test_messages_are_the_same_however_they_were_cut(
    drawn: list[tuple[Mapping[str, Value], bytes]], places: list[int]
) -> None:
    data = b"".join(encode(headers, payload) for headers, payload in drawn)
    expected = [(typed(headers), payload) for headers, payload in drawn]
    for pieces in ([data], cuts(data, places), [data[at : at + 1] for at in range(len(data))]):
        decoder = Decoder()
        assert flat([message for piece in pieces for message in decoder.feed(piece)]) == expected
        assert decoder.is_between_messages


def outcome(pieces: list[bytes]) -> tuple[list[tuple[object, bytes]], str | None, bool]:
    """What came of a stream: its messages, its failure, and whether it may end where it did."""
    decoder = Decoder(message_max_bytes=4_096)
    found: list[Message] = []
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        decoder.feed(b"")
    except ParleyError:
        assert decoder.failure is not None
    detail = None if decoder.failure is None else decoder.failure.detail
    return flat(found), detail, decoder.is_between_messages


@given(st.lists(messages(), min_size=1, max_size=3), CHANGES, st.lists(st.integers(0, 2_000), max_size=4))
def test_a_broken_stream_fails_alike_however_it_was_cut(
    drawn: list[tuple[Mapping[str, Value], bytes]], changes: list[tuple[str, int, int]], places: list[int]
) -> None:
    data = mutated(b"".join(encode(headers, payload) for headers, payload in drawn), changes)
    whole = outcome([data])
    assert outcome(cuts(data, places)) == whole
    assert outcome([data[at : at + 1] for at in range(len(data))]) == whole


def test_a_stream_is_between_messages_only_at_their_ends() -> None:
    data = encode(PART, b"abc")
    decoder = Decoder()
    assert decoder.is_between_messages
    for at in range(len(data) - 1):
        assert decoder.feed(data[at : at + 1]) == []
        assert not decoder.is_between_messages
    assert len(decoder.feed(data[-1:])) == 1
    assert decoder.is_between_messages


def test_messages_in_front_of_the_broken_place_are_returned_first() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(PART, b"1") + encode(PART, b"2") + b"\xff" * 12) == [
        Message(PART, b"1"),
        Message(PART, b"2"),
    ]
    assert decoder.failure is not None
    assert not decoder.is_between_messages
    assert refusal(decoder, b"")[0] == "invalid-event-stream"
    assert refusal(decoder, encode(PART, b"3"))[0] == "invalid-event-stream"


def test_lengths_are_not_believed_before_their_checksum() -> None:
    data = bytearray(encode({}, SECRET))
    data[0] = 0xFF
    assert refusal(Decoder(), bytes(data[:12])) == (
        "invalid-event-stream",
        "The checksum of an event's lengths is wrong.",
    )


def test_a_wrong_checksum_of_the_message_is_refused() -> None:
    for at in (12, 14, 20, -1):
        data = bytearray(encode({"a": True}, SECRET))
        data[at] ^= 1
        assert refusal(Decoder(), bytes(data)) == ("invalid-event-stream", "The checksum of an event is wrong.")


@pytest.mark.parametrize("headers_bytes", [4, 100])
def test_headers_longer_than_their_message_are_refused(headers_bytes: int) -> None:
    data = framed(b"", b"abc", headers_bytes=headers_bytes)
    assert refusal(Decoder(), data) == ("invalid-event-stream", "An event is shorter than its parts.")


@pytest.mark.parametrize("total", [0, 15])
def test_a_message_shorter_than_an_empty_one_is_refused(total: int) -> None:
    assert refusal(Decoder(), framed(b"", b"", total=total)) == (
        "invalid-event-stream",
        "An event is shorter than its parts.",
    )


def test_a_message_of_the_bound_is_taken_and_one_over_it_is_refused_by_its_lengths_alone() -> None:
    data = encode({}, SECRET)
    assert Decoder(message_max_bytes=len(data)).feed(data) == [Message({}, SECRET)]
    assert refusal(Decoder(message_max_bytes=len(data) - 1), data[:12]) == (
        "message-too-large",
        "An event may be 27 bytes long.",
    )


def test_headers_of_the_bound_are_taken_and_longer_ones_are_refused() -> None:
    data = framed(b"\1a\0", b"")
    assert Decoder(headers_max_bytes=3).feed(data) == [Message({"a": True}, b"")]
    assert refusal(Decoder(headers_max_bytes=2), data) == (
        "invalid-event-stream",
        "An event's headers are longer than 2 bytes.",
    )


def test_a_header_value_over_its_bound_is_refused() -> None:
    decoder = Decoder(header_value_max_bytes=2)
    assert refusal(decoder, encode({"a": "abc"}, b"")) == (
        "invalid-event-stream",
        "A header's value is longer than 2 bytes.",
    )


def test_an_incomplete_message_holds_no_more_than_was_fed() -> None:
    data = encode({}, bytes(1_000_000))
    decoder = Decoder()
    for at in range(0, len(data), 16_384):
        last = decoder.feed(data[at : at + 16_384])
    assert len(last[0].payload) == 1_000_000
    assert decoder.is_between_messages


def test_headers_that_vary_without_end_leave_the_decoder_working() -> None:
    decoder = Decoder()
    for number in range(100):
        headers: Mapping[str, Value] = {"P": "x" * number * 5}
        for _ in range(2):
            assert decoder.feed(encode(headers, b"")) == [Message(headers, b"")]


def test_headers_of_signing_events_are_told_apart() -> None:
    decoder = Decoder()
    for number in range(3):
        headers: Mapping[str, Value] = {":date": Timestamp(number), ":chunk-signature": bytes((number,)) * 32}
        assert decoder.feed(encode(headers, b"")) == [Message(headers, b"")]


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 5, encode(PART, b"1")[:-1], encode(PART, b"1") + b"\0", encode(PART, b"1") * 2]
)
def test_what_is_not_one_whole_message_is_not_decoded_as_one(data: bytes) -> None:
    with pytest.raises(ParleyError) as caught:
        Decoder().decode(data)
    assert caught.value.detail == "Where one whole event belongs there is none, a part of one, or more than one."


def test_decoding_one_message_leaves_a_stream_alone() -> None:
    data = encode(PART, b"outer")
    decoder = Decoder()
    decoder.feed(data[:-1])
    assert decoder.decode(encode(PART, b"inner")).payload == b"inner"
    with pytest.raises(ParleyError):
        decoder.decode(b"\xff" * 12)
    with pytest.raises(ParleyError):
        decoder.decode(data[:-3])
    assert decoder.feed(data[-1:]) == [Message(PART, b"outer")]


def test_a_payload_may_be_as_long_as_awss_sdk_takes() -> None:
    longest = bytes(PAYLOAD_MAX_BYTES)
    data = encode({}, longest)
    assert len(data) <= MESSAGE_MAX_BYTES
    assert len(Decoder().feed(data)[0].payload) == PAYLOAD_MAX_BYTES
    with pytest.raises(ValueError, match="payload may be 16777216 bytes"):
        encode({}, longest + b"x")
