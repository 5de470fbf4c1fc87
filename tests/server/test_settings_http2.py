"""The settings of SageMaker's endpoint: most of what is refused would let strangers in."""

import pytest

from parley.server.addresses import is_loopback
from parley.server.settings.document import Http2Settings, Settings
from parley.server.settings.sources import SettingsError, load

ON = "http2.enabled=true"
PUBLIC = "http2.host=0.0.0.0"
KEYS_FILE = "access.credentials_file=keys.toml"
CERTIFICATE = ("http2.tls_certificate_file=server.pem", "http2.tls_key_file=server.key")


def settings(*assignments: str) -> Settings:
    return load(environ={}, assignments=assignments).settings


def problems(*assignments: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings(*assignments)
    return [str(problem).removeprefix("flag --set: ") for problem in raised.value.problems]


def test_the_endpoint_is_off_by_default() -> None:
    assert not Settings().http2.enabled


def test_on_this_machine_alone_nothing_more_has_to_be_set() -> None:
    assert settings(ON).http2 == Http2Settings(enabled=True)


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1"])
def test_every_usual_name_of_this_machine_will_do(host: str) -> None:
    assert settings(ON, f"http2.host={host}").http2.host == host


def test_another_loopback_address_needs_a_certificate_for_it() -> None:
    (problem,) = problems(ON, "http2.host=127.0.0.5")
    assert "http2.tls_certificate_file" in problem
    assert settings(ON, "http2.host=127.0.0.5", *CERTIFICATE)
    assert settings(ON, "http2.host=127.0.0.5", "http2.cleartext=true")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.internal", "localhost.example.com"])
def test_others_are_not_let_in_without_signatures(host: str) -> None:
    (problem,) = problems(ON, f"http2.host={host}", *CERTIFICATE)
    assert problem == (
        f"http2.host is {host}, which other machines may reach, and nobody is asked who they are: set "
        "access.keys_file, access.credentials_file, access.jwt_issuer or access.certificates; listen on 127.0.0.1; or, "
        "where something else keeps strangers off that network, set both access.anonymous and access.anonymous_anywhere"
    )


def test_others_need_a_certificate_that_they_trust() -> None:
    (problem,) = problems(ON, PUBLIC, KEYS_FILE)
    assert "needs a certificate that its clients trust" in problem


def test_others_do_not_get_cleartext_when_told_once() -> None:
    (problem,) = problems(ON, PUBLIC, KEYS_FILE, "http2.cleartext=true")
    assert problem.endswith("or, where something else keeps strangers off that network, http2.cleartext_anywhere")


def test_others_get_cleartext_when_told_twice() -> None:
    twice = settings(ON, PUBLIC, KEYS_FILE, "http2.cleartext=true", "http2.cleartext_anywhere=true").http2
    assert twice.cleartext


def test_all_that_would_let_strangers_in_is_told_at_once() -> None:
    assert len(problems(ON, PUBLIC)) == 2


def test_an_address_that_is_not_used_may_be_any() -> None:
    assert settings(PUBLIC).http2.host == "0.0.0.0"


@pytest.mark.parametrize(("given", "missing"), [(0, "tls_key_file"), (1, "tls_certificate_file")])
def test_a_certificate_and_its_key_go_together(given: int, missing: str) -> None:
    assert problems(ON, CERTIFICATE[given]) == [
        f"http2.{missing} is needed as well: a certificate and its key go together"
    ]


def test_a_certificate_and_cleartext_exclude_each_other() -> None:
    (problem,) = problems(ON, "http2.cleartext=true", *CERTIFICATE)
    assert problem.startswith("http2.cleartext can't be set with a certificate")


def test_windows_that_http2_cannot_have_are_refused_with_what_it_can() -> None:
    (problem,) = problems(ON, "http2.max_streams=32767", "http2.receive_window_bytes=1048576")
    assert problem.endswith("with 1048576 bytes there can be at most 2047 streams")
    assert settings(ON, "http2.max_streams=2047", "http2.receive_window_bytes=1048576")


def test_a_window_below_http2s_own_is_refused() -> None:
    (problem,) = problems("http2.receive_window_bytes=65534")
    assert problem == "http2.receive_window_bytes must be a whole number from 65535 to 1073741824, not 65534"


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_a_loopback_address_is_told_from_one_that_looks_like_it(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
