"""What is wrong with an address or a URL of the settings, in words that say how to write it instead."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from parley.aws.address import EndpointAddress, is_sagemaker

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""The hosts that a certificate of Parley's own making is for."""

_LOOPBACK_NAMES = ("localhost", "localhost.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. Of names only localhost is known to be (RFC 6761)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOOPBACK_NAMES


def model_server_problem(url: str) -> str:
    """Why this is no address of a model server: a realtime endpoint, or an endpoint of SageMaker's."""
    return sagemaker_problem(url) if is_sagemaker(url) else realtime_problem(url)


def realtime_problem(url: str, key_file: str = "upstream.api_key_file") -> str:
    """Why this is no address of a realtime endpoint, without repeating what may be a secret; empty if it is one."""
    parts, port, problem = _split(url, "it looks like ws://HOST:PORT/v1/realtime")
    if parts is None:
        return problem
    if parts.username is not None:
        return f"must not hold a user or password; put the key into a file and name it in {key_file}"
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if not parts.hostname or scheme not in ("ws", "wss"):
        return "must be a WebSocket URL, such as ws://HOST:PORT/v1/realtime"
    if parts.scheme != scheme or parts.path in ("", "/"):
        path = "/v1/realtime" if parts.path in ("", "/") else parts.path
        return f"must be the whole WebSocket URL; did you mean {_origin(scheme, parts.hostname, port)}{path}?"
    return "must not hold a fragment (#)" if parts.fragment else ""


def container_problem(url: str) -> str:
    """The same for a container that speaks SageMaker's contract: where it listens, for requests bring the path."""
    parts, _, problem = _split(url, "it looks like ws://HOST:8080")
    if parts is None:
        return problem
    if parts.username is not None:
        return "must not hold a user or password: SageMaker shows a container none"
    if not parts.hostname or parts.scheme not in ("ws", "wss", "http", "https"):
        return "must be the address of a container, such as ws://HOST:8080"
    if parts.query or parts.fragment:
        return "must be the address of a container alone: query strings come with the requests"
    return ""


def sagemaker_problem(url: str) -> str:
    """The same for an endpoint of SageMaker's."""
    try:
        EndpointAddress.parse(url)
    except ValueError as error:
        return f"is no endpoint of SageMaker's. {error}"
    return ""


def _split(url: str, form: str) -> tuple[SplitResult | None, int | None, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None, None, f"is not a URL; {form}"
    return parts, port, ""


def _origin(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
