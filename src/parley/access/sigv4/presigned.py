"""Who sent a request: by a signature in its URL, for whoever can't set headers, as browsers' WebSockets can't.

```
?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=KEY%2F20261122%2Fus-east-1%2Fsagemaker%2Faws4_request
&X-Amz-Date=20261122T101500Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=64 hex digits
```
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from parley.access.identity import Identity, RequestHead
from parley.access.sigv4.access_key import AccessKeys
from parley.access.sigv4.authorization import ALGORITHM, Authorization, parse_authorization
from parley.access.sigv4.canonical import wire_bytes
from parley.access.sigv4.claim import Claim, check_signed, fields_of, string_to_sign
from parley.access.sigv4.payload import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, has_body
from parley.access.sigv4.signers import Signers
from parley.access.sigv4.skew import SKEW_MAX_S, check_skew
from parley.access.sigv4.stamp import describe_time, parse_stamp
from parley.core.errors import ParleyError

EXPIRES_MAX_S = 3_600
"""The longest that a URL may be good, in seconds."""

_PREFIX = "X-Amz-"
_SIGNATURE = "X-Amz-Signature"
_NEEDED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    _SIGNATURE,
)
_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the name of a field
_CONTENT_HASH = "X-Amz-Content-Sha256"
_TAKEN = frozenset((*_NEEDED, _TOKEN, _CONTENT_HASH))
_EXPIRES = re.compile(r"[0-9]{1,6}")
_PARAMETERS_MAX = 64


class PresignedQuery:
    """A `Method` that verifies Signature Version 4 in the query string of a GET request, such as a WebSocket's upgrade.

    A URL may be used as often as one likes until it expires, an hour after its time of signing at the latest: a page
    that connects again has no other. For `clock`, `region` and `skew_max_s` see `SigV4Authenticator`.
    """

    name = "presigned URLs"
    is_beside_others = False

    def __init__(
        self,
        keys: AccessKeys,
        *,
        clock: Callable[[], float],
        region: str = "",
        skew_max_s: float = SKEW_MAX_S,
    ) -> None:
        self._signers = Signers(keys, region=region)
        self._clock = clock
        self._skew_max_s = skew_max_s

    def recognises(self, request: RequestHead) -> bool:
        """Whether its query has a part of such a signature."""
        return _PREFIX in request.target and any(name in _TAKEN for name, _ in _parameters(request))

    def authenticate(self, request: RequestHead) -> Identity:
        """Whose key has signed the URL.

        Raises:
            ParleyError: not-authenticated when a part is missing or malformed, unknown-credentials, expired-credentials
                also for a URL whose time is over, clock-skew for one that was signed in the future, invalid-signature.
        """
        if request.method != "GET" or request.signs_events or has_body(request):
            raise _invalid(
                "A presigned URL is for a GET request, such as a WebSocket's upgrade; sign this one's headers."
            )
        claim, expires_s = _read_claim(request)
        now_s = self._clock()
        key = self._signers.find(claim, now_s)
        good_until_s = claim.signed_at_s + expires_s
        if now_s >= good_until_s:
            detail = f"The URL was good until {describe_time(good_until_s)}; it is {describe_time(now_s)}."
            raise ParleyError("expired-credentials", detail)
        check_skew(max(claim.signed_at_s, now_s), now_s, self._skew_max_s, "The URL")
        return Identity(self._signers.verify(claim, key))


def _read_claim(request: RequestHead) -> tuple[Claim, int]:
    """What a URL claims, and for how many seconds it is good."""
    said = _signature_parameters(request)
    for name in _NEEDED:
        if name not in said:
            raise _malformed(f"has no {name}")
    if said["X-Amz-Algorithm"] != ALGORITHM:
        raise _malformed(f"has an X-Amz-Algorithm that is not {ALGORITHM}")
    authorization = _authorization(said)
    stamp = said["X-Amz-Date"]
    signed_at_s = parse_stamp(stamp)
    if signed_at_s is None or stamp[:8] != authorization.scope.date:
        raise _invalid("X-Amz-Date is not a time of the form yyyymmddThhmmssZ on the day of X-Amz-Credential.")
    payload_hash = said.get(_CONTENT_HASH, EMPTY_PAYLOAD)
    if payload_hash not in (EMPTY_PAYLOAD, UNSIGNED_PAYLOAD):
        raise _invalid(f"{_CONTENT_HASH} is neither {UNSIGNED_PAYLOAD} nor the hash of nothing.")
    fields = fields_of(request)
    check_signed(fields, authorization.signed_headers, ())
    unsigned = replace(request, target=_without_signature(request.target))
    claim = Claim(
        access_key_id=authorization.access_key_id,
        session_token=said.get(_TOKEN, ""),
        scope=authorization.scope,
        signed_at_s=signed_at_s,
        signature=authorization.signature,
        is_unique=False,
        string_to_sign=string_to_sign(unsigned, fields, authorization, stamp, payload_hash),
    )
    return claim, _expires_s(said["X-Amz-Expires"])


def _authorization(said: Mapping[str, str]) -> Authorization:
    """The same parts as in a header, by the same rules."""
    parts = {name: said[f"X-Amz-{name}"] for name in ("Credential", "SignedHeaders", "Signature")}
    if any("," in value for value in parts.values()):
        raise _malformed("has a comma in what it is signed with")
    return parse_authorization(f"{ALGORITHM} " + ",".join(f"{name}={value}" for name, value in parts.items()))


def _expires_s(text: str) -> int:
    if not _EXPIRES.fullmatch(text) or not 1 <= int(text) <= EXPIRES_MAX_S:
        raise _invalid(f"X-Amz-Expires is to be a number of seconds from 1 to {EXPIRES_MAX_S}.")
    return int(text)


def _signature_parameters(request: RequestHead) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, value in _parameters(request):
        if name in _TAKEN:
            if name in said:
                raise _malformed(f"has {name} twice")
            said[name] = value
    return said


def _parameters(request: RequestHead) -> list[tuple[str, str]]:
    query = request.target.partition("?")[2]
    pairs = (part.partition("=") for part in query.split("&", _PARAMETERS_MAX)[:_PARAMETERS_MAX])
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def _without_signature(target: str) -> str:
    path, _, query = target.partition("?")
    return path + "?" + "&".join(part for part in query.split("&") if _decoded(part.partition("=")[0]) != _SIGNATURE)


def _decoded(text: str) -> str:
    return unquote_to_bytes(wire_bytes(text)).decode("utf-8", "surrogateescape")


def _malformed(how: str) -> ParleyError:
    return ParleyError("not-authenticated", f"Its query {how}.")


def _invalid(detail: str) -> ParleyError:
    return ParleyError("invalid-signature", detail)
