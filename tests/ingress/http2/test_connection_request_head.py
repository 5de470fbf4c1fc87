"""A request's head apart from its connection."""

from typing import Any

import pytest

from parley.ingress.http2.request_head import is_loopback, request_of


@pytest.mark.parametrize(
    ("peername", "expected"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.9.10", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("10.0.0.1", 1), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (("somewhere", 1), False),
        ("", True),
        (None, True),
    ],
)
def test_loopback_is_what_cannot_come_from_elsewhere(peername: Any, expected: bool) -> None:
    assert is_loopback(peername) is expected


def test_text_that_is_not_utf_8_survives() -> None:
    request = request_of([(b":method", b"POST"), (b":path", b"/\xff"), (b":authority", b"x")], is_loopback=False)
    assert request.target.encode("utf-8", "surrogateescape") == b"/\xff"


def test_the_first_of_several_fields_counts() -> None:
    request = request_of([(b"host", b"first"), (b"host", b"second"), ("x", "y")], is_loopback=True)
    assert request.authority == "first"
    assert request.headers[-1] == (b"x", b"y")
    assert request.is_loopback


def test_a_request_does_not_print_its_fields() -> None:
    assert "secret" not in repr(request_of([(b"authorization", b"secret")], is_loopback=False))
