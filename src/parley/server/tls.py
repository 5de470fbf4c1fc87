"""The TLS of the HTTP/2 listener: version, ciphers and ALPN, and a certificate with its key."""

import os
import ssl

from parley.server.start import StartError

# RFC 9113 section 9.2.2 forbids all others of TLS 1.2; TLS 1.3 has none that are forbidden.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(certificate_file: str | os.PathLike[str], key_file: str | os.PathLike[str]) -> ssl.SSLContext:
    """A context for HTTP/2 with this certificate and key, PEM both; they may be one file.

    Raises:
        StartError: a file can't be read, is not PEM, is encrypted, or the two don't belong together.
    """
    for path, setting in ((certificate_file, "http2.tls_certificate_file"), (key_file, "http2.tls_key_file")):
        _check_readable(path, setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except _EncryptedError:
        raise StartError(
            "certificate-unusable: the key in http2.tls_key_file is encrypted. Name a file with the plain key, which "
            "Parley's user alone can read."
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(
                "certificate-unusable: http2.tls_key_file is not the key of the first certificate in "
                "http2.tls_certificate_file. The server's own certificate comes first there, then its issuers'."
            ) from None
        raise StartError(
            "certificate-unusable: http2.tls_certificate_file and http2.tls_key_file have to hold a certificate and "
            "its private key in PEM; one of them does not."
        ) from None
    return context


class _EncryptedError(Exception):
    """A key asks for a password."""


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise _EncryptedError


def _check_readable(path: str | os.PathLike[str], setting: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise StartError(f"certificate-unreadable: {setting} can't be read: {error.strerror}.") from None
