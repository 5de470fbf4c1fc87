"""The exchange that the HTTP/2 servers under test carry: events are decoded, and audio answered with a numbered delta.

It stands in for a session and its model, costs next to nothing, and is the same code in every server.
"""

import time
from typing import Protocol

from parley.access.identity import EventGuard, RequestHead
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.wire.event_stream import Decoder
from parley.wire.payload_part import encode_part, is_signing_event, parse_part

APPEND = b'{"type":"input_audio_buffer.append"'
FINAL = b'"final":true'
CREATED = encode_part(b'{"type":"session.created","id":"sess-bench","created":1}')
DONE = encode_part(
    b'{"type":"transcription.done","text":"","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}'
)

KEY = AccessKey("AKIDBENCH", "not-a-secret-but-long-enough")
"""The load generator's."""


class Exchange:
    """One stream: bytes in, bytes out, in the protocol that the load generator speaks."""

    def __init__(self, guard: EventGuard | None) -> None:
        self._decoder = Decoder(message_max_bytes=65_536)
        self._guard = guard
        self._appends = 0

    def take(self, data: bytes) -> bytes:
        """The answers to what came; nothing when there are none yet."""
        answers = b""
        for message in self._decoder.feed(data):
            if is_signing_event(message):
                inner = self._guard.open(message) if self._guard is not None else message.payload
                if inner:
                    answers += self._answer(parse_part(self._decoder.decode(inner)).data)
            elif self._guard is None:
                answers += self._answer(parse_part(message).data)
        return answers

    def _answer(self, text: bytes) -> bytes:
        if text.startswith(APPEND):
            self._appends += 1
            return encode_part(b'{"type":"transcription.delta","delta":" %d"}' % self._appends)
        return DONE if FINAL in text else b""


class Door(Protocol):
    """Says whose guard verifies a stream's events."""

    def guard(self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...]) -> EventGuard | None:
        """The guard of the stream that this request begins."""


class Open:
    """Nothing is verified."""

    def guard(self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...]) -> EventGuard | None:
        return None


class Signed:
    """Signatures are verified, of the request and of each event."""

    def __init__(self) -> None:
        self._authenticator = SigV4Authenticator(self, clock=time.time)

    def find(self, access_key_id: str) -> AccessKey | None:
        return KEY if access_key_id == KEY.access_key_id else None

    def guard(self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...]) -> EventGuard | None:
        fields = tuple((name.decode(), value.decode()) for name, value in headers)
        return self._authenticator.authenticate(RequestHead(method, target, fields)).guard
