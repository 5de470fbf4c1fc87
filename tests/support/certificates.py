"""Certificates for tests: an authority, what it signs, and TLS contexts that believe it."""

import ssl
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Pair(NamedTuple):
    """A certificate with its chain, and its key, PEM."""

    certificate_file: Path
    key_file: Path

    @property
    def serial(self) -> int:
        """What tells it from others."""
        return x509.load_pem_x509_certificate(self.certificate_file.read_bytes()).serial_number

    def replace_with(self, other: "Pair") -> None:
        """The other one's content in this one's files, as a renewal does."""
        for mine, its in zip(self, other, strict=True):
            draft = mine.with_suffix(".new")
            draft.write_bytes(its.read_bytes())
            draft.replace(mine)


class Authority:
    """Signs certificates, and keeps them as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self._numbers = count()
        self.file = self._file("ca.pem")
        self._ca.cert_pem.write_to_path(str(self.file))

    def server(self, *names: str, is_good_for: timedelta | None = None) -> Pair:
        """A server's certificate; for 127.0.0.1 unless told otherwise."""
        return self._issued(names or ("127.0.0.1",), "", is_good_for)

    def client(self, *names: str, common_name: str = "", is_good_for: timedelta | None = None) -> Pair:
        """A client's certificate."""
        return self._issued(names, common_name, is_good_for)

    def client_of_uris(self, *uris: str, common_name: str = "") -> Pair:
        """A client's certificate with URIs for its names."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        issuer = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._written(certificate.public_bytes(serialization.Encoding.PEM), secret)

    def self_signed(self) -> Pair:
        """A client's certificate that nobody but itself vouches for."""
        signer = Authority(self._folder / "itself")
        return signer._written(signer._ca.cert_pem.bytes(), signer._ca.private_key_pem.bytes())

    def trusting(self, shown: Pair | None = None, alpn: str = "") -> ssl.SSLContext:
        """A client's context that believes this authority, and shows a certificate if there is one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if shown is not None:
            context.load_cert_chain(*shown)
        if alpn:
            context.set_alpn_protocols([alpn])
        return context

    def serving(self, *names: str, asks: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate of its own; with `asks` it wants one of its clients'."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(*names))
        if asks:
            context.load_verify_locations(cafile=str(self.file))
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _issued(self, names: tuple[str, ...], common_name: str, is_good_for: timedelta | None) -> Pair:
        not_after = None if is_good_for is None else datetime.now(UTC) + is_good_for
        issued = self._ca.issue_cert(
            *names,
            common_name=common_name or None,
            not_before=datetime.now(UTC) - timedelta(days=2),
            not_after=not_after,
            key_type=trustme.KeyType.ECDSA,
        )
        return self._written(b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes())

    def _written(self, certificate: bytes, key: bytes) -> Pair:
        number = next(self._numbers)
        pair = Pair(self._file(f"{number}.pem"), self._file(f"{number}.key"))
        pair.certificate_file.write_bytes(certificate)
        pair.key_file.write_bytes(key)
        return pair

    def _file(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name
