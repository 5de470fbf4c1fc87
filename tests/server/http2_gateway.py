"""A whole gateway in this process with SageMaker's endpoint on a free port of loopback."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parley.server.ready import Http2Address
from parley.server.settings.document import EndpointSettings
from tests.support.gateway import RunningGateway, Values, gateway_settings

_HTTP2: Values = {"enabled": True, "port": 0}


class Http2Gateway(RunningGateway):
    """See `RunningGateway`; `sections` may hold `http2` as well. It speaks cleartext unless told otherwise or
    given a certificate: with `{"cleartext": False}` the certificate is the user's own, under XDG_STATE_HOME."""

    def __init__(self, url: str, endpoints: Sequence[EndpointSettings] = (), /, **sections: Any) -> None:
        given = sections.get("http2", {})
        cleartext = {} if given.get("tls_certificate_file") else {"cleartext": True}
        http2 = {**_HTTP2, **cleartext, **given}
        super().__init__(gateway_settings(url, **{**sections, "http2": http2, "endpoints": tuple(endpoints)}))

    @property
    def address(self) -> Http2Address | None:
        """Where the endpoint is, once it has started."""
        return None if self._gateway is None else self._gateway.http2

    @property
    def http2_port(self) -> int:
        """The port of the endpoint, once it has started."""
        assert self.address is not None, "it has been started"
        return self.address.port

    @property
    def http2_url(self) -> str:
        """Its URL."""
        assert self.address is not None, "it has been started"
        return self.address.url

    @property
    def authorities_file(self) -> Path | None:
        """What a client has to trust, where the certificate is Parley's own."""
        assert self.address is not None, "it has been started"
        return self.address.authorities_file
