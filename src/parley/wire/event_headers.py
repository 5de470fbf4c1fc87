"""Header blocks of `application/vnd.amazon.eventstream`: typed values by name, to bytes and back.

```
header  1 byte name length, name, 1 byte type, value
value   0 true   1 false   2 int8   3 int16   4 int32   5 int64   6 bytes   7 string   8 timestamp, ms   9 UUID
```

Integers are big-endian and signed; bytes and strings have a length of two bytes in front. The types of Python say the
width: a plain `int` is 32 bits wide, `Byte`, `Short` and `Long` are 8, 16 and 64.
"""

import struct
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType

from parley.core.errors import ParleyError

HEADERS_MAX_BYTES = 128 * 1024
"""The longest header block that AWS's SDKs take."""

HEADER_VALUE_MAX_BYTES = 32 * 1024 - 1
"""The longest bytes or string value that they take: the length's two bytes are signed in some of them."""

_NAME_MAX_BYTES = 255


class Byte(int):
    """An integer of 8 bits."""


class Short(int):
    """An integer of 16 bits."""


class Long(int):
    """An integer of 64 bits."""


class Timestamp(int):
    """Milliseconds since 1970-01-01T00:00:00Z."""

    @property
    def milliseconds(self) -> int:
        """The same as a plain integer."""
        return int(self)


Value = bool | int | bytes | str | uuid.UUID
"""A header's value; `int` stands for `Byte`, `Short`, `Long` and `Timestamp` as well."""

_INT8, _INT16, _INT32, _INT64 = (struct.Struct(f">{code}") for code in "bhiq")
_LENGTH = struct.Struct(">H")
_TRUE, _FALSE, _BYTE, _SHORT, _INTEGER, _LONG, _BYTES, _STRING, _TIMESTAMP, _UUID = range(10)
_FIXED: dict[int, tuple[struct.Struct, Callable[[int], int]]] = {
    _BYTE: (_INT8, Byte),
    _SHORT: (_INT16, Short),
    _INTEGER: (_INT32, int),
    _LONG: (_INT64, Long),
    _TIMESTAMP: (_INT64, Timestamp),
}
_INTEGERS: dict[type, tuple[bytes, struct.Struct]] = {
    kind: (bytes((code,)), packing) for code, (packing, kind) in _FIXED.items() if isinstance(kind, type)
}


def encode_headers(headers: Mapping[str, Value]) -> bytes:
    """A header block, in the mapping's order.

    Raises:
        ValueError: a name, a value or the block is too long, or an integer too large for its width.
        TypeError: a value's type is none of `Value`.
    """
    pieces: list[bytes] = []
    for name, value in headers.items():
        named = name.encode()
        if len(named) > _NAME_MAX_BYTES:
            raise ValueError(f"a header's name may be {_NAME_MAX_BYTES} bytes long")
        pieces += bytes((len(named),)), named, _encode_value(value)
    block = b"".join(pieces)
    if len(block) > HEADERS_MAX_BYTES:
        raise ValueError(f"headers may be {HEADERS_MAX_BYTES} bytes long")
    return block


def _encode_value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, str):
        return b"\7" + _with_length(value.encode())
    if isinstance(value, bytes):
        return b"\6" + _with_length(value)
    if isinstance(value, uuid.UUID):
        return b"\x09" + value.bytes
    if type(value) not in _INTEGERS:
        raise TypeError(f"a header's value can't be a {type(value).__name__}")
    code, packing = _INTEGERS[type(value)]
    try:
        return code + packing.pack(value)
    except struct.error:
        raise ValueError(f"the integer does not fit into {8 * packing.size} bits") from None


def _with_length(data: bytes) -> bytes:
    if len(data) > HEADER_VALUE_MAX_BYTES:
        raise ValueError(f"a header's value may be {HEADER_VALUE_MAX_BYTES} bytes long")
    return _LENGTH.pack(len(data)) + data


def decode_headers(block: bytes, *, value_max_bytes: int = HEADER_VALUE_MAX_BYTES) -> Mapping[str, Value]:
    """The headers of a block, in its order; read-only.

    Raises:
        ParleyError: invalid-event-stream.
    """
    headers: dict[str, Value] = {}
    at, size = 0, len(block)
    try:
        while at < size:
            named = at + 1 + block[at]
            name = block[at + 1 : named].decode()
            value, at = _decode_value(block, named, value_max_bytes)
            if name in headers:
                raise invalid("A header occurs twice.")
            headers[name] = value
    except (IndexError, struct.error):
        raise invalid("A header is longer than what there is of its event's headers.") from None
    except UnicodeDecodeError:
        raise invalid("A header is not UTF-8.") from None
    return MappingProxyType(headers)


def _decode_value(block: bytes, at: int, value_max_bytes: int) -> tuple[Value, int]:
    """The value whose type is at this offset, and the offset behind it."""
    code = block[at]
    at += 1
    if code in (_STRING, _BYTES):
        length = _LENGTH.unpack_from(block, at)[0]
        if length > value_max_bytes:
            raise invalid(f"A header's value is longer than {value_max_bytes} bytes.")
        data, at = _cut(block, at + 2, length)
        return (data.decode() if code == _STRING else data), at
    if code in _FIXED:
        packing, kind = _FIXED[code]
        return kind(packing.unpack_from(block, at)[0]), at + packing.size
    if code in (_TRUE, _FALSE):
        return code == _TRUE, at
    if code == _UUID:
        data, at = _cut(block, at, 16)
        return uuid.UUID(bytes=data), at
    raise invalid(f"A header has the type {code}, which does not exist.")


def _cut(block: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(block):
        raise IndexError
    return block[at:end], end


def invalid(detail: str) -> ParleyError:
    """The error of a broken event stream; the detail never quotes it."""
    return ParleyError("invalid-event-stream", detail)
