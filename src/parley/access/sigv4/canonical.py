"""A request in the one form that both who signs it and who verifies it arrive at ("Create a canonical request")."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes

from parley.access.identity import RequestHead

AUTHORITY_NAMES = {"host": ":authority", ":authority": "host"}
"""Python's SDK signs the one and Node's the other; what is between may have changed one into the other."""


def wire_bytes(text: str) -> bytes:
    """The bytes that a string of a `RequestHead` was decoded from."""
    return text.encode("utf-8", "surrogateescape")


def canonical_request(
    request: RequestHead, fields: Mapping[str, Sequence[str]], signed_headers: Iterable[str], payload_hash: str
) -> bytes:
    """The canonical request. `fields` are the request's headers by name, and hold each signed one.

    The path is as it came, encoded once more. It is not normalised, unlike AWS's: a path with `.`, `..` or `//` names
    no route here, and what is verified ought to be what is routed.

    Raises:
        UnicodeEncodeError: a string holds what can't have come from bytes.
    """
    path, _, query = request.target.partition("?")
    names = list(signed_headers)
    lines = [
        # A method is a token, and stays what it is; anything else must not be able to look like further lines.
        quote_from_bytes(wire_bytes(request.method), safe="").encode(),
        quote_from_bytes(wire_bytes(path or "/"), safe="/").encode(),
        canonical_query(query),
        *(name.encode() + b":" + _fold(fields[name]) for name in names),
        b"",
        ";".join(names).encode(),
        wire_bytes(payload_hash),
    ]
    return b"\n".join(lines)


def canonical_query(query: str) -> bytes:
    """A query string with everything but unreserved characters encoded, in order of names and then values.

    A plus sign is one, and no space: RFC 3986 knows no other.
    """
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_encode_once(name), _encode_once(value)))
    return b"&".join(name + b"=" + value for name, value in sorted(pairs))


def _encode_once(text: str) -> bytes:
    return quote_from_bytes(unquote_to_bytes(wire_bytes(text)), safe="").encode()


def _fold(values: Sequence[str]) -> bytes:
    return b",".join(b" ".join(wire_bytes(value).split()) for value in values)
