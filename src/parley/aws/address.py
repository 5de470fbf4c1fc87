"""`sagemaker://endpoint-name?variant=...&region=...&path=...`: what is invoked, and the query that goes with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

SCHEME = "sagemaker"

# SageMaker's own patterns, from the model of its runtime's HTTP/2 API.
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_NAME_MAX_CHARS = 63
_PATH = re.compile(r"[A-Za-z0-9\-._]+(?:/[A-Za-z0-9\-._]+)*")
_PATH_MAX_CHARS = 100
_QUERY = re.compile(
    r"[a-zA-Z0-9][A-Za-z0-9_-]*=(?:[A-Za-z0-9._~\-]|%[0-9A-Fa-f]{2})+"
    r"(?:&[a-zA-Z0-9][A-Za-z0-9_-]*=(?:[A-Za-z0-9._~\-]|%[0-9A-Fa-f]{2})+)*"
)
_QUERY_MAX_CHARS = 2_048
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_KEYS = ("variant", "region", "path")
_EXAMPLE = f"{SCHEME}://endpoint-name?region=us-east-1"


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """A SageMaker endpoint. Empty are `variant` for any, `region` for the one that AWS's settings name, and `path` for
    the container's usual route; a path has no leading slash."""

    endpoint: str
    variant: str = ""
    region: str = ""
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> "EndpointAddress":
        """An address from its URL.

        Raises:
            ValueError: it is none; the text says why, for a person, and repeats nothing of it.
        """
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
        except ValueError:
            raise ValueError(f"The URL is not one of a SageMaker endpoint, such as {_EXAMPLE}.") from None
        if parts.scheme != SCHEME or parts.path not in ("", "/") or parts.fragment:
            raise ValueError(
                f"The URL is not one of a SageMaker endpoint, such as {_EXAMPLE}; a path goes into ?path=."
            )
        # Not `hostname`, which is in lower case: the names of endpoints are not.
        if not _is_name(parts.netloc):
            raise ValueError(
                "The name of a SageMaker endpoint has up to 63 letters, digits and hyphens; credentials and a port do "
                "not belong here."
            )
        given = dict(pairs)
        if len(given) < len(pairs) or not set(given) <= set(_KEYS):
            raise ValueError(f"A SageMaker URL takes {', '.join(_KEYS)} in its query, each once.")
        _check(given)
        return cls(parts.netloc, given.get("variant", ""), given.get("region", ""), given.get("path", ""))

    def __str__(self) -> str:
        query = {key: getattr(self, key) for key in _KEYS if getattr(self, key)}
        return f"{SCHEME}://{self.endpoint}{'?' if query else ''}{urlencode(query, safe='/')}"


def query_string(values: Mapping[str, str]) -> str:
    """A query as SageMaker takes it: each value at least one character, no plus sign.

    Raises:
        ValueError: it takes no such query.
    """
    query = "&".join(f"{key}={value}" for key, value in values.items())
    if query and (len(query) > _QUERY_MAX_CHARS or not _QUERY.fullmatch(query)):
        raise ValueError("SageMaker takes a query of up to 2048 characters, each value of letters, digits and ._~-%.")
    return query


def is_sagemaker(url: str) -> bool:
    """Whether a URL is meant for SageMaker, well formed or not."""
    return url.strip().lower().startswith(f"{SCHEME}:")


def _is_name(text: str) -> bool:
    return len(text) <= _NAME_MAX_CHARS and _NAME.fullmatch(text) is not None


def _check(given: Mapping[str, str]) -> None:
    if "variant" in given and not _is_name(given["variant"]):
        raise ValueError("`variant` is the name of a production variant: up to 63 letters, digits and hyphens.")
    if "region" in given and not _REGION.fullmatch(given["region"]):
        raise ValueError("`region` is not the name of an AWS region, such as us-east-1.")
    path = given.get("path")
    if path is not None and (len(path) > _PATH_MAX_CHARS or not _PATH.fullmatch(path)):
        raise ValueError("`path` is not an invocation path, such as v1/realtime: no slash at its beginning, no spaces.")
