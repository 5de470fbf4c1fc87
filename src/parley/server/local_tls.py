"""A certificate of Parley's own making, for clients on this machine.

```
ca.pem          the authorities that clients have to trust: this certificate's, and those before it that are still good
server.pem      the certificate and its key
```
An authority's key signs one certificate and is thrown away: whoever gets hold of these files can pass for this
machine's localhost, and for nothing else. Made once, kept with the user's state, and made anew well before its end.
"""

import contextlib
import fcntl
import ipaddress
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from parley.server.addresses import LOCAL_HOSTS
from parley.server.start import StartError

VALID = timedelta(days=730)
RENEWED_BEFORE = timedelta(days=365)
"""A server that runs for so long has a certificate that is good to its end."""

_BACKDATED = timedelta(hours=1)
"""Clocks may have been set back, as after a machine's sleep."""
_AUTHORITIES_MAX = 4
_LOCK_TIMEOUT_S = 5.0
_LOCK_INTERVAL_S = 0.02

_AUTHORITIES = "ca.pem"
_SERVER = "server.pem"


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """Where a server finds its certificate with the key, and where its clients find what they have to trust."""

    server_file: Path
    authorities_file: Path


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where a user's programs keep their state: XDG_STATE_HOME, or ~/.local/state (XDG Base Directory 0.8)."""
    given = environ.get("XDG_STATE_HOME", "")
    # One that is not absolute is to be ignored, says the specification.
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return base / "parley" / "tls"


def local_certificate(directory: Path, now: datetime | None = None) -> LocalCertificate:
    """The certificate in this directory, made if there is none that is good for long enough. May take a moment.

    Raises:
        StartError: the directory can't be used.
    """
    found = LocalCertificate(directory / _SERVER, directory / _AUTHORITIES)
    now = now or datetime.now(UTC)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        with _locked(directory):
            if not _is_good(found, now):
                _make(found, now)
    except OSError as error:
        raise StartError(
            f"certificate-unwritable: {directory} can't be used to keep a certificate: {error.strerror or error}. Set "
            "XDG_STATE_HOME to a directory that is yours, or http2.tls_certificate_file and http2.tls_key_file to "
            "files that are there."
        ) from None
    return found


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time: the two files belong together."""
    with (directory / "lock").open("a") as file:
        os.fchmod(file.fileno(), 0o600)
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError("another process holds its lock") from None
                time.sleep(_LOCK_INTERVAL_S)
        yield


def _is_good(found: LocalCertificate, now: datetime) -> bool:
    """Whether the certificate is there, whole, nobody else's to read, and good for long enough."""
    try:
        if found.server_file.stat().st_mode & 0o077:
            return False
        content = found.server_file.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, password=None)
        authorities = _authorities(found.authorities_file)
    except (OSError, ValueError, TypeError):
        return False
    is_signed = any(_has_signed(authority, certificate) for authority in authorities)
    lasts = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED_BEFORE
    return is_signed and lasts and key.public_key() == certificate.public_key()


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:
        # It raises errors of several unrelated kinds, all of which mean no.
        return False
    return True


def _make(found: LocalCertificate, now: datetime) -> None:
    """Make both files. Authorities that a running server may still answer with are kept."""
    authority, certificate, key = _issue(now)
    try:
        earlier = _authorities(found.authorities_file)
    except (OSError, ValueError):
        earlier = []
    kept = [one for one in earlier if one.not_valid_after_utc > now][: _AUTHORITIES_MAX - 1]
    # The authorities first: they are trusted before anything is signed by them.
    _write(found.authorities_file, b"".join(_pem(one) for one in (authority, *kept)))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(found.server_file, _pem(certificate) + secret)


def _authorities(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone from its first byte."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _issue(now: datetime) -> tuple[x509.Certificate, x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority, the one certificate that it signs, and that one's key. The authority's key ends here."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # A name of its own for each: clients look an issuer up by its name.
    serial = x509.random_serial_number()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Parley on this computer {serial:x}"[:64])])
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _draft(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        _draft(subject, issuer, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in LOCAL_HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return authority, certificate, key


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
