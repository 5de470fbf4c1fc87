"""TLS connections to SageMaker that speak HTTP/2, one for each stream.

Many streams could share one. But AWS's runtime library offers Python no way to reset a stream of a connection, and a
stream that can't be reset leaves its container at work; a connection can be closed. And with it one session is lost,
not fifty. AWS's SDK for JavaScript does the same.
"""

import os
from typing import Any

from awscrt.http import Http2ClientConnection
from awscrt.io import ClientBootstrap, ClientTlsContext, SocketOptions, TlsContextOptions

from parley.aws.exchange import STREAM_WINDOW_BYTES, bridged
from parley.aws.options import AwsOptions

_KEEPALIVE_S = 20
_KEEPALIVE_PROBES = 3


class Connector:
    """Makes connections, which trust the machine's authorities, or those of `ca_file` or AWS_CA_BUNDLE."""

    def __init__(self, options: AwsOptions) -> None:
        tls = TlsContextOptions()
        if ca_file := options.ca_file or os.environ.get("AWS_CA_BUNDLE", ""):
            tls.override_default_trust_store_from_path(ca_filepath=ca_file)
        self._tls = ClientTlsContext(tls)
        self._socket_options = SocketOptions()
        self._socket_options.connect_timeout_ms = int(options.connect_timeout_s * 1_000)
        # Neither the SDK nor the library pings; this finds a peer that is gone while both sides are silent.
        self._socket_options.keep_alive = True
        self._socket_options.keep_alive_timeout_secs = _KEEPALIVE_S
        self._socket_options.keep_alive_interval_secs = _KEEPALIVE_S
        self._socket_options.keep_alive_max_probes = _KEEPALIVE_PROBES

    async def connect(self, host: str, port: int) -> Any:
        """A connection of the library's. Who is cancelled meanwhile need not close it.

        Raises:
            AwsCrtError: there is none to be had; its `name` says why.
        """
        tls = self._tls.new_connection_options()
        tls.set_server_name(host)
        tls.set_alpn_list(["h2"])
        connecting = Http2ClientConnection.new(
            host,
            port,
            ClientBootstrap.get_or_create_static_default(),
            self._socket_options,
            tls,
            manual_window_management=True,
            initial_window_size=STREAM_WINDOW_BYTES,
        )
        return await bridged(connecting, lambda late: late.close())
