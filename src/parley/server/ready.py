"""Where a gateway listens, for whoever tells its user."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Http2Address:
    """Where SageMaker's endpoint is, as clients on this machine name it.

    `authorities_file` is what they have to trust there when the certificate is of Parley's own making; `is_verified`
    says whether their signatures are.
    """

    url: str
    port: int
    authorities_file: Path | None
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a gateway that is ready listens, over HTTP/2 too if it does; `endpoint` is the name of one there,
    `admin_url` where its operator asks, empty where nobody does. `has_tls`: it takes wss:// and https:// alone.
    `has_page`: the captions page is at its root."""

    host: str
    port: int
    http2: Http2Address | None = None
    endpoint: str = ""
    admin_url: str = ""
    has_tls: bool = False
    has_page: bool = False
