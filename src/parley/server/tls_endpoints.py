"""The TLS that each listener has, and that model servers are reached with, as the settings say."""

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from parley.server.settings.document import AdminSettings, ServerSettings, Settings, UpstreamSettings
from parley.server.settings.http2 import Http2Settings
from parley.server.settings.trust import AccessSettings
from parley.server.tls import client_context, server_context
from parley.server.tls_files import TlsFiles

Contexts = Callable[[], ssl.SSLContext]
"""Gives the context for a handshake that begins now."""


def listener_tls(settings: Settings, section: Literal["server", "http2", "admin"]) -> Contexts | None:
    """The TLS of a listener; None where it has no certificate.

    Raises:
        StartError: a file can't be used.
    """
    one: ServerSettings | Http2Settings | AdminSettings = getattr(settings, section)
    if not one.tls_certificate_file:
        return None
    access = settings.access
    has_others = _has_other_credentials(access) or (section == "admin" and bool(settings.admin.token_file))
    return watched(
        section,
        one.tls_certificate_file,
        one.tls_key_file,
        client_ca_file=one.tls_client_ca_file,
        requires_client=not (access.certificates and has_others),
    )


def watched(
    section: str,
    certificate_file: str,
    key_file: str,
    *,
    client_ca_file: str = "",
    requires_client: bool = True,
    protocols: Sequence[str] = (),
) -> Contexts:
    """The contexts of a listener with these files, which are followed when they change.

    Raises:
        StartError: one of them can't be used.
    """
    make = partial(
        server_context,
        certificate_file,
        key_file,
        section=section,
        protocols=protocols or (("h2",) if section == "http2" else ("http/1.1",)),
        client_ca_file=client_ca_file,
        requires_client=requires_client,
    )
    files = [file for file in (certificate_file, key_file, client_ca_file) if file]
    return TlsFiles(make, files, name=f"{section}.tls_certificate_file", certificate_file=certificate_file)


def upstream_tls(upstream: UpstreamSettings) -> Contexts:
    """How model servers are reached over TLS. Nothing is made until one is, unless there are files for it.

    Raises:
        StartError: a file can't be used.
    """
    make = partial(
        client_context,
        ca_file=upstream.tls_ca_file,
        certificate_file=upstream.tls_certificate_file,
        key_file=upstream.tls_key_file,
    )
    given = (upstream.tls_ca_file, upstream.tls_certificate_file, upstream.tls_key_file)
    files = [file for file in given if file]
    if not files:
        return _Once(make)
    return TlsFiles(make, files, name="upstream.tls", certificate_file=upstream.tls_certificate_file)


class _Once:
    """The system's authorities take tens of milliseconds to load: one context for all connections, made when it is
    first needed."""

    def __init__(self, make: Contexts) -> None:
        self._make = make
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._make()
        return self._context


def _has_other_credentials(access: AccessSettings) -> bool:
    return bool(access.keys_file or access.credentials_file or access.jwt_issuer or access.browser_tokens)
