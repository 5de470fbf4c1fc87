"""What tests of the event stream draw from: headers of every type, messages, ways to cut and to break bytes."""

import struct
import uuid
from collections.abc import Mapping
from itertools import pairwise
from zlib import crc32

from hypothesis import strategies as st

from parley.wire.event_headers import Byte, Long, Short, Timestamp, Value

# AWS's own decoder can't hold other times.
TIMESTAMPS_MS = st.integers(-30_000_000_000_000, 200_000_000_000_000)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def values() -> st.SearchStrategy[Value]:
    return st.one_of(
        st.booleans(),
        integers(8).map(Byte),
        integers(16).map(Short),
        integers(32),
        integers(64).map(Long),
        TIMESTAMPS_MS.map(Timestamp),
        st.binary(max_size=40),
        st.text(max_size=20),
        st.binary(min_size=16, max_size=16).map(lambda data: uuid.UUID(bytes=data)),
    )


def header_maps() -> st.SearchStrategy[Mapping[str, Value]]:
    names = st.one_of(st.sampled_from([":message-type", ":event-type", "DataType", ":date"]), st.text(max_size=20))
    return st.dictionaries(names, values(), max_size=5)


def messages() -> st.SearchStrategy[tuple[Mapping[str, Value], bytes]]:
    return st.tuples(header_maps(), st.binary(max_size=120))


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places modulo its length."""
    edges = sorted([0, *(place % (len(data) + 1) for place in places), len(data)])
    return [data[start:end] for start, end in pairwise(edges)]


def mutated(data: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    """The data with bits flipped, bytes dropped, doubled or set."""
    changed = bytearray(data)
    for kind, place, value in changes:
        if not changed:
            break
        at = place % len(changed)
        match kind:
            case "flip":
                changed[at] ^= 1 << (value % 8)
            case "set":
                changed[at] = value
            case "drop":
                del changed[at : at + 1 + value % 4]
            case _:
                changed[at:at] = changed[at : at + 1 + value % 4]
    return bytes(changed)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["flip", "set", "drop", "double"]), st.integers(0, 2**16), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def typed(headers: Mapping[str, Value]) -> list[tuple[str, type, Value]]:
    """What two equal mappings may still differ in: order and types."""
    return [(name, type(value), value) for name, value in headers.items()]


def framed(block: bytes, payload: bytes, *, total: int | None = None, headers_bytes: int | None = None) -> bytes:
    """A message with sound checksums, whatever its lengths say."""
    size = 16 + len(block) + len(payload)
    lengths = struct.pack(
        ">II", size if total is None else total, len(block) if headers_bytes is None else headers_bytes
    )
    body = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return body + struct.pack(">I", crc32(body))
