"""TLS of the listeners and towards model servers: versions, ciphers, ALPN, certificates, and whose are believed."""

import os
import ssl
from collections.abc import Sequence

from parley.server.start import StartError

# RFC 9113 section 9.2.2 forbids all others of TLS 1.2; TLS 1.3 has none that are forbidden.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

_Path = str | os.PathLike[str]


def server_context(
    certificate_file: _Path,
    key_file: _Path,
    *,
    section: str = "http2",
    protocols: Sequence[str] = ("h2",),
    client_ca_file: _Path = "",
    requires_client: bool = True,
) -> ssl.SSLContext:
    """A context for a listener with this certificate and key, PEM both; they may be one file.

    `section` is that of the settings, `protocols` what is agreed on by ALPN. With a `client_ca_file` clients are asked
    for a certificate that follows from one in it, and without one are let in only if not `requires_client`.

    Raises:
        StartError: a file can't be read, is not PEM, is encrypted, or the two don't belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(list(protocols))
    _load_pair(context, certificate_file, key_file, section)
    if client_ca_file:
        _load_authorities(context, client_ca_file, f"{section}.tls_client_ca_file")
        context.verify_mode = ssl.CERT_REQUIRED if requires_client else ssl.CERT_OPTIONAL
        # The file may name an issuer that is itself issued by another.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # Of a session that is resumed with a ticket, nothing is verified again.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def client_context(
    *,
    ca_file: _Path = "",
    certificate_file: _Path = "",
    key_file: _Path = "",
    section: str = "upstream",
) -> ssl.SSLContext:
    """A context for connections to servers whose certificates follow from one in `ca_file`, or from one of the system's
    without it; with a certificate of this node's own to show them, if there is one.

    Raises:
        StartError: as `server_context`.
    """
    context = ssl.create_default_context() if not ca_file else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        _load_authorities(context, ca_file, f"{section}.tls_ca_file")
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificate_file:
        _load_pair(context, certificate_file, key_file, section)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_pair(context: ssl.SSLContext, certificate_file: _Path, key_file: _Path, section: str) -> None:
    certificate, key = f"{section}.tls_certificate_file", f"{section}.tls_key_file"
    _check_readable(certificate_file, certificate)
    _check_readable(key_file, key)
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except _EncryptedError:
        raise StartError(
            f"certificate-unusable: the key in {key} is encrypted. Name a file with the plain key, which "
            "Parley's user alone can read."
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(
                f"certificate-unusable: {key} is not the key of the first certificate in "
                f"{certificate}. Its own certificate comes first there, then its issuers'."
            ) from None
        raise StartError(
            f"certificate-unusable: {certificate} and {key} have to hold a certificate and "
            "its private key in PEM; one of them does not."
        ) from None
    except OSError as error:
        # It was there a moment ago.
        raise StartError(f"certificate-unreadable: {certificate} or {key} can't be read: {error.strerror}.") from None


def _load_authorities(context: ssl.SSLContext, path: _Path, setting: str) -> None:
    _check_readable(path, setting)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise StartError(f"certificate-unusable: {setting} has to hold certificates in PEM.") from None
    except OSError as error:
        raise StartError(f"certificate-unreadable: {setting} can't be read: {error.strerror}.") from None


class _EncryptedError(Exception):
    """A key asks for a password."""


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise _EncryptedError


def _check_readable(path: _Path, setting: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise StartError(f"certificate-unreadable: {setting} can't be read: {error.strerror}.") from None
