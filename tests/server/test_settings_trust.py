"""Settings of trust that leave a door open, or that do nothing: refused with the fix."""

import pytest

from parley.server.settings.document import Settings
from parley.server.settings.sources import SettingsError, load
from parley.server.start import StartError
from parley.server.trust import make_trust

OUTSIDE = "server.host=0.0.0.0"
KEYS = "access.keys_file=keys.toml"
CERTIFICATE = ("server.tls_certificate_file=c.pem", "server.tls_key_file=k.pem")
JWT = "access.jwt_issuer=https://issuer.example"


def settings(*assignments: str) -> Settings:
    return load(environ={}, assignments=assignments).settings


def problems(*assignments: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings(*assignments)
    return [problem.message for problem in raised.value.problems]


def test_a_laptop_asks_nobody() -> None:
    assert not settings().access.keys_file


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.internal"])
def test_where_other_machines_come_somebody_is_asked(host: str) -> None:
    (problem,) = problems(f"server.host={host}")
    assert problem.startswith(
        f"server.host is {host}, which other machines may reach, and nobody is asked who they are"
    )
    assert "both access.anonymous and access.anonymous_anywhere" in problem


@pytest.mark.parametrize("once", ["access.anonymous=true", "access.anonymous_anywhere=true"])
def test_being_told_once_is_not_enough(once: str) -> None:
    assert len(problems(OUTSIDE, once)) == 1


def test_being_told_twice_is() -> None:
    assert settings(OUTSIDE, "access.anonymous=true", "access.anonymous_anywhere=true").access.anonymous_anywhere


def test_the_platforms_preset_tells_twice() -> None:
    access = load(environ={}, preset="sagemaker").settings.access
    assert access.anonymous
    assert access.anonymous_anywhere


@pytest.mark.parametrize(
    "method",
    [KEYS, "access.credentials_file=keys.toml", "access.certificates=true", "access.jwt_issuer=https://i.example"],
)
def test_any_kind_of_credentials_will_do(method: str) -> None:
    more: tuple[str, ...] = ("access.jwt_audience=parley",) if "jwt" in method else ()
    more += ("server.tls_client_ca_file=ca.pem",) if "certificates" in method else ()
    assert settings(OUTSIDE, method, *CERTIFICATE, *more)


def test_credentials_do_not_come_in_the_clear_from_other_machines() -> None:
    (problem,) = problems(OUTSIDE, KEYS)
    assert problem.startswith("server.host is 0.0.0.0, which other machines may reach, and without TLS they could read")


def test_a_proxy_may_have_the_certificate() -> None:
    assert settings(OUTSIDE, KEYS, "server.cleartext_anywhere=true").server.cleartext_anywhere


def test_an_admin_port_that_others_reach_asks_somebody() -> None:
    (problem,) = problems("admin.port=1", "admin.host=0.0.0.0")
    assert "without admin.token_file anybody there could end sessions" in problem
    assert settings("admin.port=1", "admin.host=0.0.0.0", "admin.token_file=token").admin.port


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ((JWT,), "access.jwt_audience is needed with access.jwt_issuer"),
        (("access.jwt_issuer=us", "access.jwt_audience=p"), "access.jwt_issuer must be an https:// URL"),
        (("access.jwt_issuer=http://[", "access.jwt_audience=p"), "access.jwt_issuer must be an https:// URL"),
        (
            ("access.jwt_issuer=us", "access.jwt_audience=p", "access.jwt_keys_url=http://192.0.2.1/keys"),
            "access.jwt_keys_url must be an https:// URL",
        ),
        (("access.jwt_audience=parley",), "access.jwt_audience does nothing without access.jwt_issuer"),
        (("access.jwt_keys_url=https://i.example",), "access.jwt_keys_url does nothing without access.jwt_issuer"),
        (("access.jwt_keys_file=jwks",), "access.jwt_keys_file does nothing without access.jwt_issuer"),
        (
            (JWT, "access.jwt_audience=p", "access.jwt_keys_url=https://i.example", "access.jwt_keys_file=jwks"),
            "access.jwt_keys_url and access.jwt_keys_file can't both be set",
        ),
        (
            (
                'access.jwt_algorithms=["HS256"]',
                JWT,
                "access.jwt_audience=p",
            ),
            "access.jwt_algorithms must be some of RS256",
        ),
        (
            (
                'access.jwt_algorithms=["none"]',
                JWT,
                "access.jwt_audience=p",
            ),
            "access.jwt_algorithms must be some of RS256",
        ),
        (("access.browser_tokens=true",), "access.browser_tokens needs another kind of credentials"),
        (("access.certificates=true",), "access.certificates needs a listener that asks for them"),
        (("server.tls_key_file=k.pem",), "server.tls_certificate_file is needed as well"),
        (("server.tls_certificate_file=c.pem",), "server.tls_key_file is needed as well"),
        (("admin.tls_key_file=k.pem",), "admin.tls_certificate_file is needed as well"),
        (("upstream.tls_certificate_file=c.pem",), "upstream.tls_key_file is needed as well"),
        (("http2.tls_client_ca_file=ca.pem",), "http2.tls_client_ca_file does nothing without"),
        (("retention.directory=kept",), "retention.key_file is needed with retention.directory"),
        (("audit.key_file=key",), "audit.key_file does nothing without audit.file"),
    ],
)
def test_what_cannot_be_meant_so_is_refused_with_the_fix(assignments: tuple[str, ...], message: str) -> None:
    (problem,) = problems(*assignments)
    assert problem.startswith(message)


def test_settings_that_were_not_read_from_a_file_are_looked_at_as_well() -> None:
    from parley.server.settings.document import ServerSettings

    with pytest.raises(StartError, match=r"invalid-settings: server\.host is 0\.0\.0\.0"):
        make_trust(Settings(server=ServerSettings(host="0.0.0.0")))
