"""A request's signature by Signature Version 4 in its headers, for whatever a request is signed for.

```
read_claim(request, payload_hash)   what the request claims, its shape checked      not-authenticated, invalid-signature
claim.verify(signing_key)           whether who holds the key has signed it         invalid-signature
```
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from parley.access.identity import RequestHead
from parley.access.sigv4.authorization import ALGORITHM, Authorization, parse_authorization
from parley.access.sigv4.canonical import AUTHORITY_NAMES, canonical_request
from parley.access.sigv4.payload import CONTENT_HASH, EVENTS_PAYLOAD
from parley.access.sigv4.signing_key import Scope
from parley.access.sigv4.stamp import parse_stamp
from parley.core.errors import ParleyError

_DATE = "x-amz-date"
_TOKEN = "x-amz-security-token"  # noqa: S105 - the name of a header
_ROUTING_PREFIX = "x-amzn-sagemaker-"
_NONCE = "amz-sdk-invocation-id"
_ALONE = frozenset((_DATE, CONTENT_HASH, _TOKEN, "host", ":authority"))
_NAME_SHOWN_MAX_CHARS = 64


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed request claims, before anything but its shape is believed.

    `signed_at_s` is in seconds since 1970; `session_token` is empty without one; `signature` is in hexadecimal digits.
    `is_unique` says that something random was signed, so that two requests never have the same signature.
    """

    access_key_id: str = field(repr=False)
    session_token: str = field(repr=False)
    scope: Scope
    signed_at_s: int
    signature: str = field(repr=False)
    is_unique: bool
    string_to_sign: bytes = field(repr=False)

    def verify(self, signing_key: bytes) -> None:
        """Compare the signature with the one that this key makes, in constant time.

        Raises:
            ParleyError: invalid-signature.
        """
        expected = hmac.digest(signing_key, self.string_to_sign, "sha256").hex()
        if not hmac.compare_digest(expected, self.signature):
            raise ParleyError("invalid-signature", "The request's signature is not the one that this secret key makes.")


def read_claim(request: RequestHead, payload_hash: str) -> Claim:
    """What a request claims whose payload has this hash, or is `EVENTS_PAYLOAD`.

    Raises:
        ParleyError: not-authenticated, when there is no signature in its headers or a malformed one; invalid-signature,
            when it can't be right whatever the key: something that must be signed isn't, or contradicts the rest.
    """
    fields = fields_of(request)
    authorizations = fields.get("authorization", ())
    if len(authorizations) != 1:
        how = "twice" if authorizations else "not at all"
        raise ParleyError("not-authenticated", f"Its Authorization header occurs {how}.")
    authorization = parse_authorization(authorizations[0])
    required = (_DATE, CONTENT_HASH) if payload_hash == EVENTS_PAYLOAD else (_DATE,)
    check_signed(fields, authorization.signed_headers, required)
    if fields.get(CONTENT_HASH, [payload_hash]) != [payload_hash]:
        raise _invalid(f"{CONTENT_HASH} is not {_describe_hash(payload_hash)}.")
    stamp = fields[_DATE][0].strip()
    signed_at_s = parse_stamp(stamp)
    if signed_at_s is None:
        raise _invalid(f"{_DATE} is not a time of the form yyyymmddThhmmssZ.")
    if authorization.scope.date != stamp[:8]:
        raise _invalid(f"The date in its Credential is not that of {_DATE}.")
    return Claim(
        access_key_id=authorization.access_key_id,
        session_token=fields.get(_TOKEN, ("",))[0].strip(),
        scope=authorization.scope,
        signed_at_s=signed_at_s,
        signature=authorization.signature,
        is_unique=_NONCE in authorization.signed_headers,
        string_to_sign=string_to_sign(request, fields, authorization, stamp, payload_hash),
    )


def fields_of(request: RequestHead) -> dict[str, list[str]]:
    """The request's headers by name, with the authority under both of its names.

    Raises:
        ParleyError: invalid-signature, when one that decides something occurs twice.
    """
    fields: dict[str, list[str]] = {}
    for name, value in request.headers:
        values = fields.setdefault(name, [])
        if values and (name in _ALONE or name.startswith(_ROUTING_PREFIX)):
            raise _invalid(f"The header {_shown(name)} occurs twice.")
        values.append(value)
    for name, other in AUTHORITY_NAMES.items():
        if other in fields:
            fields.setdefault(name, fields[other])
    if fields.get("host") != fields.get(":authority"):
        raise _invalid("The headers host and :authority differ.")
    return fields


def check_signed(fields: Mapping[str, Sequence[str]], signed: tuple[str, ...], required: tuple[str, ...]) -> None:
    """Whether what must be signed is, and what is signed is there. `required` are the names beside the authority's.

    Raises:
        ParleyError: invalid-signature.
    """
    if "host" not in signed and ":authority" not in signed:
        raise _invalid("Neither host nor :authority is among its SignedHeaders.")
    for name in required:
        if name not in signed:
            raise _invalid(f"The header {name} is not among its SignedHeaders.")
    for name in fields:
        if (name in (CONTENT_HASH, _TOKEN) or name.startswith(_ROUTING_PREFIX)) and name not in signed:
            raise _invalid(f"The header {_shown(name)} is not signed; somebody may have added it on the way.")
    for name in signed:
        if name not in fields:
            raise _invalid(f"The header {_shown(name)} was signed and has not arrived; a proxy may have taken it out.")


def string_to_sign(
    request: RequestHead,
    fields: Mapping[str, Sequence[str]],
    authorization: Authorization,
    stamp: str,
    payload_hash: str,
) -> bytes:
    """What a signature is made over.

    Raises:
        ParleyError: invalid-signature.
    """
    try:
        canonical = canonical_request(request, fields, authorization.signed_headers, payload_hash)
    except UnicodeEncodeError:
        raise _invalid("Something in its head can't have come from bytes.") from None
    return f"{ALGORITHM}\n{stamp}\n{authorization.scope}\n{sha256(canonical).hexdigest()}".encode()


def _describe_hash(payload_hash: str) -> str:
    return payload_hash if payload_hash == EVENTS_PAYLOAD else "the hash of what was sent"


def _shown(name: str) -> str:
    return ascii(name[:_NAME_SHOWN_MAX_CHARS])


def _invalid(detail: str) -> ParleyError:
    return ParleyError("invalid-signature", detail)
