"""The certificate that a gateway makes for clients on its machine: what it proves, where it lies, how long it lasts."""

import fcntl
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from parley.server import local_tls
from parley.server.local_tls import RENEWED_BEFORE, VALID, LocalCertificate, local_certificate, state_directory
from parley.server.start import StartError
from parley.server.tls import server_context

NOW = datetime.now(UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "parley" / "tls"


def shaken(own: LocalCertificate, authorities: Path, host: str) -> str:
    """The ALPN protocol of a handshake in memory, the client as strict as Python's default; fails as a client would."""
    server_context_ = server_context(own.server_file, own.server_file)
    client_context = ssl.create_default_context(cafile=str(authorities))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.set_alpn_protocols(["h2"])
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=host)
    server = server_context_.wrap_bio(up, down, server_side=True)
    waiting: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
    for _ in range(10):
        for handshake in list(waiting):
            try:
                handshake()
                waiting.remove(handshake)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return client.selected_alpn_protocol() or ""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def serial(own: LocalCertificate) -> int:
    return x509.load_pem_x509_certificate(own.server_file.read_bytes()).serial_number


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_accepts_it_for_every_name_of_this_machine(
    directory: Path, host: str
) -> None:
    own = local_certificate(directory)
    assert shaken(own, own.authorities_file, host) == "h2"


@pytest.mark.parametrize("host", ["example.com", "127.0.0.2", "localhost.example.com"])
def test_it_is_good_for_nothing_else(directory: Path, host: str) -> None:
    own = local_certificate(directory)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(own, own.authorities_file, host)


def test_a_client_that_does_not_trust_the_authority_refuses_it(directory: Path, tmp_path: Path) -> None:
    own, other = local_certificate(directory), local_certificate(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(own, other.authorities_file, "localhost")


def test_it_can_sign_no_other_certificate(directory: Path) -> None:
    certificate = x509.load_pem_x509_certificate(local_certificate(directory).server_file.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    (usage,) = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert usage == ExtendedKeyUsageOID.SERVER_AUTH


def test_the_authoritys_key_is_not_kept(directory: Path) -> None:
    own = local_certificate(directory)
    kept = b"".join(path.read_bytes() for path in directory.iterdir())
    assert kept.count(b"PRIVATE KEY-----") == 2, "the beginning and the end of one"
    key = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key.load_cert_chain(own.server_file)


def test_nobody_else_can_read_any_of_it(directory: Path) -> None:
    local_certificate(directory)
    assert mode(directory) == 0o700
    assert {mode(path) for path in directory.iterdir()} == {0o600}


def test_a_directory_that_others_could_read_is_closed_to_them(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o755)
    local_certificate(directory)
    assert mode(directory) == 0o700


def test_it_is_made_once(directory: Path) -> None:
    assert serial(local_certificate(directory)) == serial(local_certificate(directory))


def test_it_is_kept_until_it_is_to_be_renewed(directory: Path) -> None:
    first = serial(local_certificate(directory, NOW))
    assert serial(local_certificate(directory, NOW + VALID - RENEWED_BEFORE - timedelta(seconds=2))) == first


def test_it_is_renewed_so_early_that_a_server_may_run_for_long(directory: Path) -> None:
    first = serial(local_certificate(directory, NOW))
    assert serial(local_certificate(directory, NOW + VALID - RENEWED_BEFORE)) != first
    assert timedelta(days=365) <= RENEWED_BEFORE


def test_after_a_renewal_clients_trust_the_one_before_too(directory: Path, tmp_path: Path) -> None:
    first = local_certificate(directory, NOW - VALID + RENEWED_BEFORE)
    running = LocalCertificate(tmp_path / "server.pem", first.authorities_file)
    running.server_file.write_bytes(first.server_file.read_bytes())
    second = local_certificate(directory, NOW)
    assert serial(second) != serial(running)
    for own in (running, second):
        assert shaken(own, second.authorities_file, "localhost") == "h2"


def test_authorities_that_are_over_are_forgotten(directory: Path) -> None:
    local_certificate(directory, NOW - VALID)
    own = local_certificate(directory, NOW)
    assert len(x509.load_pem_x509_certificates(own.authorities_file.read_bytes())) == 1


def test_a_certificate_of_the_future_is_made_anew(directory: Path) -> None:
    first = serial(local_certificate(directory, NOW + timedelta(days=2)))
    assert serial(local_certificate(directory, NOW)) != first


@pytest.mark.parametrize("name", ["server.pem", "ca.pem"])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_is_broken_is_made_anew(directory: Path, name: str, content: bytes) -> None:
    local_certificate(directory)
    (directory / name).write_bytes(content)
    own = local_certificate(directory)
    assert shaken(own, own.authorities_file, "localhost") == "h2"


@pytest.mark.parametrize("name", ["server.pem", "ca.pem"])
def test_a_file_that_is_missing_is_made_anew(directory: Path, name: str) -> None:
    local_certificate(directory)
    (directory / name).unlink()
    own = local_certificate(directory)
    assert shaken(own, own.authorities_file, "localhost") == "h2"


def test_a_certificate_without_its_key_is_made_anew(directory: Path) -> None:
    own = local_certificate(directory)
    content = own.server_file.read_bytes()
    own.server_file.write_bytes(content[: content.index(b"-----BEGIN PRIVATE")])
    own = local_certificate(directory)
    assert shaken(own, own.authorities_file, "localhost") == "h2"


def test_a_key_of_another_certificate_is_made_anew(directory: Path, tmp_path: Path) -> None:
    own, other = local_certificate(directory), local_certificate(tmp_path / "other")
    mine, theirs = own.server_file.read_bytes(), other.server_file.read_bytes()
    at = b"-----BEGIN PRIVATE"
    own.server_file.write_bytes(mine[: mine.index(at)] + theirs[theirs.index(at) :])
    assert shaken(local_certificate(directory), own.authorities_file, "localhost") == "h2"


def test_a_certificate_of_another_authority_is_made_anew(directory: Path, tmp_path: Path) -> None:
    own, other = local_certificate(directory), local_certificate(tmp_path / "other")
    own.authorities_file.write_bytes(other.authorities_file.read_bytes())
    assert shaken(local_certificate(directory), own.authorities_file, "localhost") == "h2"


def test_a_key_that_others_could_read_is_made_anew(directory: Path) -> None:
    own = local_certificate(directory)
    first = serial(own)
    own.server_file.chmod(0o640)
    assert serial(local_certificate(directory)) != first
    assert mode(own.server_file) == 0o600


def test_two_processes_do_not_make_it_at_a_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_tls, "_LOCK_TIMEOUT_S", 0.05)
    local_certificate(directory)
    with (directory / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StartError, match="another process holds its lock"):
            local_certificate(directory)
    assert local_certificate(directory)


def test_a_place_that_cannot_be_used_is_an_error_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError) as caught:
        local_certificate(tmp_path / "file" / "tls")
    assert str(caught.value).startswith("certificate-unwritable: ")
    assert "XDG_STATE_HOME" in str(caught.value)


def test_it_lies_where_the_users_state_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory({}) == tmp_path / ".local" / "state" / "parley" / "tls"
    assert state_directory({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/parley/tls")


@pytest.mark.parametrize("given", ["", "relative/path"])
def test_a_state_home_that_is_not_absolute_is_ignored(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory({"XDG_STATE_HOME": given}).is_relative_to(tmp_path)
