"""A request's head, from what h2 found in its HEADERS."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from parley.access.identity import CertificateNames
from parley.ingress.http2.exchange import Request


def request_of(
    fields: Iterable[tuple[bytes | str, bytes | str]], *, is_loopback: bool, certificate: CertificateNames | None = None
) -> Request:
    """The head as its handler sees it. Text is UTF-8, and what is not survives as surrogates, so that a signature over
    the bytes can be checked."""
    headers = tuple((_bytes(name), _bytes(value)) for name, value in fields)
    # The first of several counts.
    first = dict(reversed(headers))

    def text(name: bytes) -> str:
        return first.get(name, b"").decode("utf-8", errors="surrogateescape")

    authority = text(b":authority") or text(b"host")
    return Request(text(b":method"), text(b":path"), authority, headers, is_loopback, certificate)


def is_loopback(peername: Any) -> bool:
    """Whether a transport's peer is on this machine. A Unix socket's has no address and is."""
    if not isinstance(peername, tuple):
        return True
    try:
        address = ipaddress.ip_address(str(peername[0]).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _bytes(value: bytes | str) -> bytes:
    return bytes(value) if isinstance(value, bytes) else value.encode()
