"""Beside AWS's own codecs: what we write is what they write, and we take nothing that they refuse."""

import datetime
import struct
import uuid
from collections.abc import Mapping
from io import BytesIO

import pytest
import smithy_aws_event_stream.events as smithy
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st
from smithy_core.exceptions import SmithyError

from parley.core.errors import ParleyError
from parley.wire.event_headers import Byte, Long, Short, Timestamp, Value
from parley.wire.event_stream import Decoder, Message, encode
from tests.wire.strategies import CHANGES, framed, messages, mutated

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def for_smithy(value: Value) -> smithy.HEADER_VALUE:
    match value:
        case Byte():
            return smithy.Byte(value)
        case Short():
            return smithy.Short(value)
        case Long():
            return smithy.Long(value)
        case Timestamp():
            return EPOCH + datetime.timedelta(milliseconds=value)
        case _:
            return value


def whole_seconds(headers: Mapping[str, Value]) -> Mapping[str, Value]:
    """Smithy computes milliseconds from a float of seconds and may be one off; whole seconds are exact."""
    return {
        name: Timestamp(value // 1_000 * 1_000) if isinstance(value, Timestamp) else value
        for name, value in headers.items()
    }


@given(messages())
def test_what_is_encoded_is_byte_for_byte_what_smithy_encodes(drawn: tuple[Mapping[str, Value], bytes]) -> None:
    headers, payload = whole_seconds(drawn[0]), drawn[1]
    theirs = smithy.EventMessage(
        headers={name: for_smithy(value) for name, value in headers.items()}, payload=payload
    ).encode()
    assert encode(headers, payload) == theirs


def by_smithy(data: bytes) -> list[Message] | None:
    """What smithy decodes, as ours; None when it refuses."""
    source, found = BytesIO(data), []
    try:
        while (event := smithy.Event.decode(source)) is not None:
            found.append(
                Message({name: plain(value) for name, value in event.message.headers.items()}, event.message.payload)
            )
    except (SmithyError, ValueError, ArithmeticError, KeyError, struct.error):
        return None
    return found


def plain(value: object) -> Value:
    """A value without the width of integers, which botocore does not keep."""
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    assert isinstance(value, bool | int | bytes | str | uuid.UUID)
    return value if isinstance(value, bool) or not isinstance(value, int) else int(value)


def by_botocore(data: bytes) -> list[Message] | None:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    try:
        found = [Message(event.headers, event.payload) for event in buffer]
    except (ParserError, ValueError, KeyError, struct.error):
        return None
    return found


def ours(data: bytes) -> list[Message] | None:
    decoder = Decoder()
    try:
        found = decoder.feed(data)
        decoder.feed(b"")
    except ParleyError:
        return None
    return [
        Message({name: plain(value) for name, value in message.headers.items()}, message.payload) for message in found
    ]


def with_uuids_as_bytes(found: list[Message] | None) -> list[Message] | None:
    """As botocore has them."""
    return found and [
        Message(
            {name: value.bytes if isinstance(value, uuid.UUID) else value for name, value in message.headers.items()},
            message.payload,
        )
        for message in found
    ]


@given(st.lists(messages(), max_size=3))
def test_what_is_encoded_is_decoded_by_botocore_and_smithy(drawn: list[tuple[Mapping[str, Value], bytes]]) -> None:
    drawn = [(whole_seconds(headers), payload) for headers, payload in drawn]
    data = b"".join(encode(headers, payload) for headers, payload in drawn)
    assert ours(data) is not None
    assert by_smithy(data) == ours(data)
    assert by_botocore(data) == with_uuids_as_bytes(ours(data))


def assert_nothing_is_taken_that_they_refuse(data: bytes) -> None:
    mine = ours(data)
    if mine is None:
        return
    assert by_botocore(data) == with_uuids_as_bytes(mine)
    complete = Decoder()
    complete.feed(data)
    if complete.is_between_messages:
        assert by_smithy(data) == mine


@given(st.lists(messages(), min_size=1, max_size=3), CHANGES)
def test_nothing_is_taken_of_a_changed_stream_that_they_refuse(
    drawn: list[tuple[Mapping[str, Value], bytes]], changes: list[tuple[str, int, int]]
) -> None:
    data = b"".join(encode(whole_seconds(headers), payload) for headers, payload in drawn)
    assert_nothing_is_taken_that_they_refuse(mutated(data, changes))


@given(st.binary(max_size=80))
def test_nothing_is_taken_of_random_bytes_that_they_refuse(data: bytes) -> None:
    assert_nothing_is_taken_that_they_refuse(data)


@given(st.binary(max_size=40), st.binary(max_size=20), st.integers(0, 60))
def test_nothing_is_taken_of_headers_with_sound_checksums_that_they_refuse(
    block: bytes, payload: bytes, headers_bytes: int
) -> None:
    assert_nothing_is_taken_that_they_refuse(framed(block, payload, headers_bytes=headers_bytes))


def test_a_single_changed_bit_anywhere_is_refused() -> None:
    data = encode({":event-type": "PayloadPart", "n": 1}, b"payload")
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(ParleyError):
            Decoder().feed(bytes(changed))
