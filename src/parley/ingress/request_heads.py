"""Requests' heads as the gate takes them, from each library that reads them, and client certificates from TLS."""

import asyncio
import ssl

from aiohttp import web
from picows import WSUpgradeRequest

from parley.access.identity import CertificateNames, RequestHead


def of_upgrade(request: WSUpgradeRequest, certificate: CertificateNames | None = None) -> RequestHead:
    """The head of a WebSocket upgrade, on a connection with this client certificate."""
    fields = tuple((name.lower(), value) for name, value in request.headers.items())
    return RequestHead("GET", _text(request.path), fields, certificate)


def of_request(request: web.Request) -> RequestHead:
    """The head of a plain HTTP request, whose body may follow."""
    fields = tuple((_text(name).lower(), _text(value)) for name, value in request.raw_headers)
    certificate = None if request.transport is None else certificate_names(request.transport)
    return RequestHead(request.method, request.raw_path, fields, certificate)


def certificate_names(transport: asyncio.BaseTransport) -> CertificateNames | None:
    """Whom the client's certificate is made out to, which TLS has verified; None without TLS or certificate."""
    # Empty for one that was not verified.
    found = transport.get_extra_info("peercert")
    if not found:
        return None
    alternatives = [(kind, name) for kind, name in found.get("subjectAltName", ()) if isinstance(name, str)]
    common = [name for part in found.get("subject", ()) for kind, name in part if kind == "commonName"]
    return CertificateNames(
        uris=tuple(name for kind, name in alternatives if kind == "URI"),
        dns_names=tuple(name for kind, name in alternatives if kind == "DNS"),
        # Of several, nobody can say which is meant.
        common_name=common[0] if len(common) == 1 else "",
        expires_at_s=float(ssl.cert_time_to_seconds(found["notAfter"])),
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
