"""What is wrong with settings of trust although each value is of its type: above all, doors that stand open."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from parley.server.addresses import is_loopback
from parley.server.settings.document import AdminSettings, ServerSettings, Settings
from parley.server.settings.http2 import Http2Settings
from parley.server.settings.trust import AccessSettings

JWT_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""None that is signed with a shared secret: it could be the issuer's public key, which everybody has."""

_METHODS = "access.keys_file, access.credentials_file, access.jwt_issuer or access.certificates"


def has_methods(access: AccessSettings) -> bool:
    """Whether whoever comes is asked who they are."""
    return bool(access.keys_file or access.credentials_file or access.jwt_issuer or access.certificates)


def trust_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """The key to blame, and the message, for each."""
    yield from _of_open_doors(settings)
    yield from _of_cleartext(settings)
    yield from _of_access(settings.access)
    yield from _of_certificates(settings)
    if settings.retention.directory and not settings.retention.key_file:
        yield (
            "retention.key_file",
            "retention.key_file is needed with retention.directory: nothing is kept in the clear",
        )
    if not settings.retention.directory and any(tenant.retention != "none" for tenant in settings.tenants):
        yield (
            "retention.directory",
            "retention.directory is needed where a tenant's sessions are to be kept: name a folder, or set its "
            "retention to none",
        )
    if settings.audit.key_file and not settings.audit.file:
        yield "audit.key_file", "audit.key_file does nothing without audit.file"


def _of_open_doors(settings: Settings) -> Iterator[tuple[str, str]]:
    access, admin = settings.access, settings.admin
    is_open = not has_methods(access)
    if is_open and not (access.anonymous and access.anonymous_anywhere):
        listeners = [("server", settings.server.host)]
        if settings.http2.enabled:
            listeners.append(("http2", settings.http2.host))
        for section, host in listeners:
            if not is_loopback(host):
                yield (
                    f"{section}.host",
                    f"{section}.host is {host}, which other machines may reach, and nobody is asked who they are: set "
                    f"{_METHODS}; listen on 127.0.0.1; or, where something else keeps strangers off that network, set "
                    "both access.anonymous and access.anonymous_anywhere",
                )
    if admin.port and is_open and not admin.token_file and not is_loopback(admin.host):
        yield (
            "admin.host",
            f"admin.host is {admin.host}, which other machines may reach, and without admin.token_file anybody there "
            "could end sessions; name a file that holds a token in it, or listen on 127.0.0.1",
        )


def _of_cleartext(settings: Settings) -> Iterator[tuple[str, str]]:
    server = settings.server
    if not has_methods(settings.access) or is_loopback(server.host):
        return
    if not server.tls_certificate_file and not server.cleartext_anywhere:
        yield (
            "server.host",
            f"server.host is {server.host}, which other machines may reach, and without TLS they could read the "
            "credentials that come there: set server.tls_certificate_file and server.tls_key_file, or, where a proxy "
            "before it has the certificate, server.cleartext_anywhere",
        )


def _of_access(access: AccessSettings) -> Iterator[tuple[str, str]]:
    if access.jwt_issuer and not access.jwt_audience:
        yield (
            "access.jwt_audience",
            "access.jwt_audience is needed with access.jwt_issuer: tokens that were made for other services would be "
            "taken",
        )
    for key, url in (("jwt_keys_url", access.jwt_keys_url), ("jwt_issuer", _asked(access))):
        if url and not _may_be_asked(url):
            yield (
                f"access.{key}",
                f"access.{key} must be an https:// URL for keys to be fetched from there; http:// is for this machine "
                "alone. Otherwise name the issuer's keys in access.jwt_keys_url or access.jwt_keys_file",
            )
    if access.jwt_keys_url and access.jwt_keys_file:
        yield "access.jwt_keys_url", "access.jwt_keys_url and access.jwt_keys_file can't both be set"
    if not access.jwt_issuer:
        for key in ("jwt_audience", "jwt_keys_url", "jwt_keys_file"):
            if getattr(access, key):
                yield f"access.{key}", f"access.{key} does nothing without access.jwt_issuer"
    if not set(access.jwt_algorithms) <= set(JWT_ALGORITHMS):
        yield "access.jwt_algorithms", f"access.jwt_algorithms must be some of {', '.join(JWT_ALGORITHMS)}"
    if access.browser_tokens and not has_methods(access):
        yield (
            "access.browser_tokens",
            f"access.browser_tokens needs another kind of credentials to have them made with: set {_METHODS}",
        )


def _asked(access: AccessSettings) -> str:
    """The issuer, where it is asked itself for where its keys are."""
    return "" if access.jwt_keys_url or access.jwt_keys_file else access.jwt_issuer


def _may_be_asked(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def _of_certificates(settings: Settings) -> Iterator[tuple[str, str]]:
    listeners: dict[str, ServerSettings | Http2Settings | AdminSettings] = {
        "server": settings.server,
        "http2": settings.http2,
        "admin": settings.admin,
    }
    for section, one in listeners.items():
        if section != "http2":
            yield from _of_pair(section, one.tls_certificate_file, one.tls_key_file)
        if one.tls_client_ca_file and not one.tls_certificate_file:
            yield (
                f"{section}.tls_client_ca_file",
                f"{section}.tls_client_ca_file does nothing without {section}.tls_certificate_file",
            )
    yield from _of_pair("upstream", settings.upstream.tls_certificate_file, settings.upstream.tls_key_file)
    if settings.access.certificates and not any(one.tls_client_ca_file for one in listeners.values()):
        yield (
            "access.certificates",
            "access.certificates needs a listener that asks for them: set server.tls_client_ca_file, "
            "http2.tls_client_ca_file or admin.tls_client_ca_file",
        )


def _of_pair(section: str, certificate: str, key: str) -> Iterator[tuple[str, str]]:
    if bool(certificate) != bool(key):
        given, missing = ("certificate", "key") if certificate else ("key", "certificate")
        yield (
            f"{section}.tls_{given}_file",
            f"{section}.tls_{missing}_file is needed as well: a certificate and its key go together",
        )
