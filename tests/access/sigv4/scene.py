"""A server's clock and keys, and what clients send it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from parley.access.identity import RequestHead
from parley.access.sigv4.access_key import AccessKey
from parley.core.errors import ParleyError
from parley.wire.event_stream import Decoder, Message
from tests.support.signing import CREDENTIALS, SignedHead

NOW_S = 1_795_342_500.25
"""2026-11-22T10:15:00.250Z."""

KEY = AccessKey(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key)


class Clock:
    """Says what time it is, when told."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Keys:
    """Access keys in memory."""

    def __init__(self, *keys: AccessKey) -> None:
        self.keys = {key.access_key_id: key for key in keys}

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.keys.get(access_key_id)


def request_of(head: SignedHead, **changes: Any) -> RequestHead:
    """The request as it arrives, with changes made on the way."""
    return dataclasses.replace(RequestHead(head.method, head.target, head.fields, signs_events=True), **changes)


def with_header(request: RequestHead, name: str, value: str) -> RequestHead:
    """With a header's value changed."""
    assert name in dict(request.headers)
    headers = tuple((known, value if known == name else old) for known, old in request.headers)
    return dataclasses.replace(request, headers=headers)


def with_more(request: RequestHead, *headers: tuple[str, str]) -> RequestHead:
    """With headers added."""
    return dataclasses.replace(request, headers=(*request.headers, *headers))


def without(request: RequestHead, name: str) -> RequestHead:
    """With a header taken out."""
    return dataclasses.replace(request, headers=tuple(pair for pair in request.headers if pair[0] != name))


def message_of(data: bytes) -> Message:
    """The one message that these bytes are."""
    return Decoder().decode(data)


def refusal(call: Callable[..., object], *args: Any, **named: Any) -> ParleyError:
    """The error that a call ends in."""
    with pytest.raises(ParleyError) as caught:
        call(*args, **named)
    return caught.value


def why(call: Callable[..., object], *args: Any, **named: Any) -> tuple[str, str]:
    """Code and detail of the error that a call ends in."""
    error = refusal(call, *args, **named)
    return error.code, error.detail


def outcome(call: Callable[..., object], *args: Any, **named: Any) -> str:
    """The code of the error that a call ends in; empty without one. Any other exception is a failure."""
    try:
        call(*args, **named)
    except ParleyError as error:
        return error.code
    return ""
