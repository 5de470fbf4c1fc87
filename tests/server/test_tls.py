"""The TLS of the HTTP/2 listener: certificates that can't be used are named, and nothing old is spoken."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from parley.server.start import StartError
from parley.server.tls import server_context


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    issued = trustme.CA().issue_cert("gateway.example")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(StartError) as caught:
        server_context(certificate, key)
    return str(caught.value)


def test_it_speaks_tls_1_2_and_later_with_the_ciphers_of_http2(files: tuple[Path, Path]) -> None:
    context = server_context(*files)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    # RFC 9113 section 9.2.2 allows those with forward secrecy and authenticated encryption.
    older = [one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert older
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in older)


@pytest.mark.parametrize(("missing", "setting"), [(0, "http2.tls_certificate_file"), (1, "http2.tls_key_file")])
def test_a_file_that_is_not_there_is_named(files: tuple[Path, Path], missing: int, setting: str) -> None:
    files[missing].unlink()
    assert refusal(*files) == f"certificate-unreadable: {setting} can't be read: No such file or directory."


def test_a_directory_is_no_certificate(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert "http2.tls_key_file can't be read: Is a directory" in refusal(files[0], tmp_path)


def test_a_key_of_another_certificate_is_told(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
    assert "http2.tls_key_file is not the key of the first certificate" in refusal(files[0], other)


def test_an_encrypted_key_is_told_and_no_password_asked_for(files: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    assert "http2.tls_key_file is encrypted" in refusal(*files)


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_not_pem_is_told_without_its_content(files: tuple[Path, Path], which: int) -> None:
    files[which].write_bytes(b"hunter2")
    said = refusal(*files)
    assert said.startswith("certificate-unusable: ")
    assert "PEM" in said
    assert "hunter2" not in said
