"""Which TLS each listener has, and how model servers are reached."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from parley.server.settings.document import Settings, UpstreamSettings
from parley.server.start import StartError
from parley.server.tls_endpoints import listener_tls, upstream_tls
from tests.support.certificates import Authority
from tests.support.gateway import gateway_settings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(authority: Authority, section: str, *, access: dict[str, Any] | None = None, **more: Any) -> Settings:
    own = authority.server()
    given = {
        "tls_certificate_file": str(own.certificate_file),
        "tls_key_file": str(own.key_file),
        "tls_client_ca_file": str(authority.file),
        **more,
    }
    return gateway_settings("ws://127.0.0.1:1/v1/realtime", **{section: given}, access=access or {})


@pytest.mark.parametrize("section", ["server", "http2", "admin"])
def test_without_a_certificate_there_is_none(section: Any) -> None:
    assert listener_tls(Settings(), section) is None


@pytest.mark.parametrize("section", ["server", "http2", "admin"])
def test_a_listener_names_its_own_setting_when_a_file_can_t_be_used(authority: Authority, section: Any) -> None:
    broken = settings(authority, section, tls_key_file="/nowhere/key.pem")
    with pytest.raises(StartError, match=rf"{section}\.tls_key_file can't be read"):
        listener_tls(broken, section)


def test_an_authority_of_clients_that_holds_no_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("hunter2")
    with pytest.raises(StartError, match=r"server\.tls_client_ca_file has to hold certificates in PEM") as caught:
        listener_tls(settings(authority, "server", tls_client_ca_file=str(empty)), "server")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("access", "mode"),
    [
        ({}, ssl.CERT_REQUIRED),
        ({"certificates": True}, ssl.CERT_REQUIRED),
        ({"keys_file": "keys.json"}, ssl.CERT_REQUIRED),
        ({"certificates": True, "keys_file": "keys.json"}, ssl.CERT_OPTIONAL),
        ({"certificates": True, "credentials_file": "keys.toml"}, ssl.CERT_OPTIONAL),
        ({"certificates": True, "jwt_issuer": "https://issuer.example"}, ssl.CERT_OPTIONAL),
        ({"certificates": True, "browser_tokens": True}, ssl.CERT_OPTIONAL),
    ],
    ids=[
        "nobody is asked otherwise",
        "it is the only credential",
        "it is no credential, but comes on top",
        "API keys do as well",
        "access keys do as well",
        "JWTs do as well",
        "browsers' tokens do as well",
    ],
)
def test_a_certificate_is_needed_unless_it_is_one_of_several_credentials(
    authority: Authority, access: dict[str, Any], mode: ssl.VerifyMode
) -> None:
    contexts = listener_tls(settings(authority, "server", access=access), "server")
    assert contexts is not None
    assert contexts().verify_mode is mode


@pytest.mark.parametrize(("token_file", "mode"), [("", ssl.CERT_REQUIRED), ("token", ssl.CERT_OPTIONAL)])
def test_on_the_admin_port_the_operators_token_is_another(
    authority: Authority, token_file: str, mode: ssl.VerifyMode
) -> None:
    given = settings(authority, "admin", access={"certificates": True}, token_file=token_file)
    contexts = listener_tls(given, "admin")
    assert contexts is not None
    assert contexts().verify_mode is mode


def test_who_is_asked_for_a_certificate_gets_no_ticket_that_would_do_without(authority: Authority) -> None:
    contexts = listener_tls(settings(authority, "server"), "server")
    assert contexts is not None
    assert contexts().num_tickets == 0
    assert contexts().options & ssl.OP_NO_TICKET


def test_nothing_is_loaded_for_model_servers_before_it_is_needed_and_then_once() -> None:
    contexts = upstream_tls(UpstreamSettings())
    assert contexts() is contexts()
    assert contexts().verify_mode is ssl.CERT_REQUIRED
    assert contexts().check_hostname


def test_only_the_authority_that_is_named_is_believed_of_model_servers(authority: Authority) -> None:
    own = authority.client("gateway.example")
    contexts = upstream_tls(
        UpstreamSettings(
            tls_ca_file=str(authority.file),
            tls_certificate_file=str(own.certificate_file),
            tls_key_file=str(own.key_file),
        )
    )
    assert len(contexts().get_ca_certs()) == 1
    assert contexts().verify_mode is ssl.CERT_REQUIRED
    assert contexts().check_hostname
    assert contexts().minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("key", ["tls_ca_file", "tls_certificate_file"])
def test_a_file_for_model_servers_that_is_not_there_is_named(key: str) -> None:
    with pytest.raises(StartError, match=rf"upstream\.{key} can't be read: No such file or directory"):
        upstream_tls(UpstreamSettings(**{key: "/nowhere/file.pem"}))  # type: ignore[arg-type]
