"""The nine bytes before every frame (RFC 9113 section 4.1)."""

from struct import Struct

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

HEAD_BYTES = 9

# The length has 24 bits, so it is read as 8 and 16.
_HEAD = Struct(">BHBBI")

unpack_head = _HEAD.unpack_from
"""(high byte of the length, low bytes of it, type, flags, stream with the reserved bit) at an offset."""

STREAM_ID_MASK = 0x7FFF_FFFF

DATA = DataFrame.type
HEADERS = HeadersFrame.type
PRIORITY = PriorityFrame.type
RST_STREAM = RstStreamFrame.type
SETTINGS = SettingsFrame.type
PUSH_PROMISE = PushPromiseFrame.type
PING = PingFrame.type
WINDOW_UPDATE = WindowUpdateFrame.type
CONTINUATION = ContinuationFrame.type

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08

NOT_PLAIN = END_STREAM | PADDED
"""Flags of a DATA frame that is more than data."""


def data_frame_head(length: int, stream_id: int) -> bytes:
    """What goes before so many bytes of a stream's data, without padding and END_STREAM."""
    return frame_head(length, DATA, 0, stream_id)


def frame_head(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """What goes before so many bytes of a frame's payload."""
    return _HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream_id)
