# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of the HTTP/2 listener: SageMaker's endpoint."""

from dataclasses import dataclass

from parley.server.settings.types import ByteCount, Count, Name, Port, Seconds, StreamCount, WindowBytes, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Settings:
    """SageMaker's endpoint: bidirectional streams over HTTP/2, for the clients of AWS's SDKs."""

    enabled: bool = setting(False, "Whether to listen for HTTP/2 at all.")
    host: Name = setting(
        "127.0.0.1", "Address to listen on. Others than loopback need TLS, and credentials: see access."
    )
    port: Port = setting(8443, "TCP port to listen on; 0 takes a free one.")
    tls_certificate_file: str = setting(
        "", "Certificate with its chain, PEM. Empty: on a loopback address Parley makes one itself."
    )
    tls_key_file: str = setting("", "The certificate's private key, PEM, not encrypted.")
    tls_client_ca_file: str = setting(
        "", "Certificates, PEM, of whoever signs clients', who need one then. Empty: none is asked for."
    )
    cleartext: bool = setting(
        False, "Plain TCP instead of TLS, HTTP/2 from the first byte. AWS's Python SDK can't; Node's can."
    )
    cleartext_anywhere: bool = setting(
        False, "Allows cleartext on other addresses than loopback too, where others may read and change all of it."
    )
    max_connections: Count = setting(4_096, "Connections at a time; further ones are closed at once.")
    max_streams: StreamCount = setting(128, "Streams at a time on one connection; further ones are refused.")
    receive_window_bytes: WindowBytes = setting(
        262_144, "What may wait of one stream while its session does not read it.", unit="bytes"
    )
    header_list_max_bytes: ByteCount = setting(
        32_768, "Size of all header fields of a request, each with 32 bytes more.", unit="bytes"
    )
    idle_timeout_s: Seconds = setting(120.0, "How long a connection may be without any stream.", unit="s")
