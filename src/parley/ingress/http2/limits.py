"""What bounds the HTTP/2 listener, its connections and their streams."""

from dataclasses import dataclass

INITIAL_WINDOW_BYTES = 65_535
"""What a window holds before anything is announced (RFC 9113 section 6.9.2). SETTINGS never say otherwise: AWS's CRT
does not wake a stalled stream when they enlarge the window, but does for WINDOW_UPDATE."""

FRAME_MAX_BYTES = 16_384
"""The largest payload of a frame that is taken, and that is written (RFC 9113 section 4.2)."""

_WINDOW_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits:
    """Bounds of a listener. Those named `_per_s_max` are counted by connection and second; whoever is above one of them
    is disconnected with ENHANCE_YOUR_CALM.

    `connections_max` is for the listener, `streams_max` for a connection; streams above it are refused. A stream may
    have `receive_window_bytes` under way or waiting for a handler that has paused reading, and a connection as much for
    each of its streams. A request's fields may take `header_list_max_bytes`, each counted with 32 bytes more than its
    name and value (RFC 9113 section 6.5.2), their compressed form no more either, and come in `continuations_max`
    CONTINUATION frames.

    A handler is told that it is blocked above `output_high_water_bytes` that wait to be written, and to go on below
    `output_low_water_bytes`; writing another piece on top of more than `output_max_bytes` resets the stream. A
    connection's transport is given nothing from its streams above `transport_high_water_bytes`; above
    `transport_max_bytes`, which then are answers to the peer's own frames, the connection is cut.

    `tls_handshake_timeout_s`, `preface_timeout_s` and `headers_timeout_s` bound the time from TCP's connection to the
    end of the handshake, from there to the client's SETTINGS, and from a header block's first byte to its last.
    A connection without a stream ends after `idle_timeout_s`. One with streams of which nothing was read for
    `ping_interval_s` is pinged, and cut when nothing comes for `ping_timeout_s` more. A connection that is closed with
    GOAWAY is read, and what comes thrown away, for at most `linger_s`, so that the peer gets to read it.

    `finish_grace_s` is how long a client may take to end its side of a stream whose answer is complete.

    `resets_per_s_max` counts every stream that ended by the peer's reset or fault, refused ones included.
    WINDOW_UPDATE frames are counted only beyond four for each DATA frame that was sent.

    Raises:
        ValueError: two limits contradict each other.
    """

    connections_max: int = 4_096
    streams_max: int = 128
    receive_window_bytes: int = 262_144
    header_list_max_bytes: int = 32_768
    continuations_max: int = 16

    output_high_water_bytes: int = 65_536
    output_low_water_bytes: int = 16_384
    output_max_bytes: int = 1_048_576
    transport_high_water_bytes: int = 65_536
    transport_max_bytes: int = 1_048_576

    tls_handshake_timeout_s: float = 10.0
    preface_timeout_s: float = 10.0
    headers_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    linger_s: float = 1.0
    finish_grace_s: float = 30.0

    resets_per_s_max: int = 200
    pings_per_s_max: int = 50
    settings_per_s_max: int = 20
    priorities_per_s_max: int = 200
    window_updates_per_s_max: int = 1_000
    empty_data_per_s_max: int = 100
    unknown_frames_per_s_max: int = 100

    def __post_init__(self) -> None:
        if self.receive_window_bytes < INITIAL_WINDOW_BYTES:
            raise ValueError(f"receive_window_bytes is {self.receive_window_bytes}, at least {INITIAL_WINDOW_BYTES}")
        if self.connection_window_bytes(self.streams_max) > _WINDOW_MAX_BYTES:
            raise ValueError(
                "streams_max times receive_window_bytes is more than HTTP/2's largest window, 2,147,483,647 bytes"
            )
        if not 0 <= self.output_low_water_bytes <= self.output_high_water_bytes <= self.output_max_bytes:
            raise ValueError("output_low_water_bytes, output_high_water_bytes and output_max_bytes are not in order")
        if not 0 < self.transport_high_water_bytes <= self.transport_max_bytes:
            raise ValueError("transport_high_water_bytes is not between 1 and transport_max_bytes")

    def connection_window_bytes(self, streams: int) -> int:
        """What a connection with so many streams may have under way: each stream's window, so that those whose handlers
        do not read leave the others theirs, and one more for data of streams that are over."""
        return INITIAL_WINDOW_BYTES + streams * self.receive_window_bytes
