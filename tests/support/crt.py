"""AWS's runtime library in tests: its threads and descriptors are the process's, and there before any test looks."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from awscrt.exceptions import AwsCrtError
from awscrt.http import Http2ClientConnection
from awscrt.io import ClientBootstrap, ClientTlsContext, SocketOptions, TlsContextOptions

AWS_VARIABLES = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")


@pytest.fixture(scope="session")
def crt() -> ClientBootstrap:
    """The library, started; it ends with the process."""
    bootstrap = ClientBootstrap.get_or_create_static_default()
    # It opens its source of random numbers for the first handshake.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        tls = ClientTlsContext(TlsContextOptions()).new_connection_options()
        port = listener.getsockname()[1]
        connecting = Http2ClientConnection.new("127.0.0.1", port, bootstrap, SocketOptions(), tls)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(20)
            peer.recv(1)
    with pytest.raises(AwsCrtError):
        connecting.result(20)
    return bootstrap


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
    """AWS's variables are the test's, whatever the machine's are; call it for more of them."""
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def put(values: Mapping[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    put(
        {
            "AWS_ACCESS_KEY_ID": "AKIDPARLEYTESTS00001",
            "AWS_SECRET_ACCESS_KEY": "a-secret-for-tests-only",
            "AWS_REGION": "eu-central-1",
            "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )
    return put
