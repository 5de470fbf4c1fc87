"""The event stream's codec: the same whatever the cuts, and nothing taken that AWS's own decoder refuses."""

import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from random import Random

from botocore.eventstream import EventStreamBuffer, ParserError

from parley.core.errors import ParleyError
from parley.wire.event_stream import Byte, Decoder, Long, Message, Short, Timestamp, Value, encode
from tests.fuzz.noise import byte_by_byte, in_pieces, mutated
from tests.wire.strategies import framed, typed

MESSAGE_MAX_BYTES = 4_096

Taken = tuple[list[tuple[object, bytes]], tuple[str, str] | None, bool]


def run(random: Random, decoder: Callable[[], Decoder] = lambda: Decoder(MESSAGE_MAX_BYTES)) -> None:
    """One round. Raises AssertionError for a finding."""
    sent = [(_headers(random), random.randbytes(random.choice((0, 1, 30, 300)))) for _ in range(random.randint(1, 4))]
    data = b"".join(encode(headers, payload) for headers, payload in sent)
    match random.randrange(4):
        case 0:
            taken = _same_whatever_the_cuts(data, random, decoder)
            assert taken == ([(typed(headers), payload) for headers, payload in sent], None, True), (
                "a round trip failed"
            )
        case 1:
            _check(mutated(data, random), random, decoder)
        case 2:
            _check(framed(mutated(encode(_headers(random), b"")[12:-4], random), b"x"), random, decoder)
        case _:
            _check(random.randbytes(random.randint(0, 200)), random, decoder)


def _check(data: bytes, random: Random, decoder: Callable[[], Decoder]) -> None:
    found, failure, _ = _same_whatever_the_cuts(data, random, decoder)
    if failure is None:
        theirs = _by_botocore(data)
        assert theirs is not None, "botocore refuses what was taken"
        assert [(dict(headers), payload) for headers, payload in theirs] == [
            ({name: _plain(value) for name, _, value in headers}, payload)  # type: ignore[attr-defined]
            for headers, payload in found
        ], "botocore reads it otherwise"


def _same_whatever_the_cuts(data: bytes, random: Random, decoder: Callable[[], Decoder]) -> Taken:
    whole = _take([data], decoder())
    assert _take(byte_by_byte(data), decoder()) == whole, "byte by byte it comes out otherwise"
    assert _take(in_pieces(data, random), decoder()) == whole, "in pieces it comes out otherwise"
    return whole


def _take(pieces: Sequence[bytes], decoder: Decoder) -> Taken:
    found: list[Message] = []
    failure = None
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        decoder.feed(b"")
    except ParleyError as error:
        failure = error.code, error.detail
    return [(typed(each.headers), each.payload) for each in found], failure, decoder.is_between_messages


def _by_botocore(data: bytes) -> list[tuple[Mapping[str, object], bytes]] | None:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    try:
        return [(message.headers, message.payload) for message in buffer]
    except (ParserError, ValueError, KeyError, struct.error):
        return None


def _plain(value: Value) -> object:
    """As botocore has it: no widths, and UUIDs as bytes."""
    if isinstance(value, uuid.UUID):
        return value.bytes
    return value if isinstance(value, bool | str | bytes) else int(value)


def _headers(random: Random) -> dict[str, Value]:
    names = [
        ":message-type",
        ":event-type",
        "DataType",
        ":date",
        ":chunk-signature",
        "",
        "\u00fc" * random.randint(0, 60),
    ]
    return {name: _value(random) for name in random.sample(names, random.randint(0, len(names)))}


def _value(random: Random) -> Value:
    bits = random.choice((8, 16, 32, 64))
    number = random.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
    choices: list[Value] = [
        random.random() < 0.5,
        {8: Byte, 16: Short, 32: int, 64: Long}[bits](number),
        Timestamp(number),
        random.randbytes(random.randint(0, 40)),
        random.choice(("UTF8", "PayloadPart", "", "\u20ac" * 5)),
        uuid.UUID(bytes=random.randbytes(16)),
    ]
    return random.choice(choices)
