"""The URL of a realtime endpoint, from what people type."""

from urllib.parse import SplitResult, urlsplit

from parley.aws.address import EndpointAddress, is_sagemaker

REALTIME_PATH = "/v1/realtime"

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def check_url(url: str) -> None:
    """Whether a session can be asked for here: of a WebSocket server, or of a SageMaker endpoint.

    Raises:
        ValueError: it can't, or carries a user name or password; the text is for a person.
    """
    if is_sagemaker(url):
        EndpointAddress.parse(url)
    else:
        realtime_url(url)


def realtime_url(url: str, *, timestamps: bool = False, resume: bool = False) -> str:
    """A WebSocket URL: `http` becomes `ws`, a missing scheme is `ws`, a missing path is `/v1/realtime`.

    With `timestamps` a Parley server is asked for every delta, the empty ones too; vLLM sends them unasked, and does
    not read the query. `resume` tells one that is full that this connection is for a session that it has.

    Raises:
        ValueError: the text is no such URL, or carries a user name or password.
    """
    parts = _split(url)
    path = REALTIME_PATH if parts.path in ("", "/") else parts.path
    asked = ("empty_deltas=true" if timestamps else "", "resume=1" if resume else "")
    query = "&".join(filter(None, (parts.query, *asked)))
    return parts._replace(scheme=_SCHEMES[parts.scheme], path=path, query=query, fragment="").geturl()


def origin(url: str) -> str:
    """Scheme, host and port of a URL: what may be shown, as it holds no path or query."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        has_place = parts.hostname is not None and parts.port != 0
    except ValueError:
        has_place = False
    if not has_place or parts.scheme not in _SCHEMES:
        raise ValueError(
            "The URL is not one of a WebSocket server, such as ws://127.0.0.1:8080, or sagemaker://endpoint-name."
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("The URL carries a password; pass a key as `api_key` instead, which keeps it out of logs.")
    return parts
