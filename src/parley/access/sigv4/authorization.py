"""The Authorization header of Signature Version 4, taken apart.

```
AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/sagemaker/aws4_request,
                 SignedHeaders=content-type;host;x-amz-date, Signature=64 hex digits
```
"""

import re
from dataclasses import dataclass, field

from parley.access.sigv4.signing_key import TERMINATOR, Scope
from parley.core.errors import ParleyError

ALGORITHM = "AWS4-HMAC-SHA256"
AUTHORIZATION_MAX_CHARS = 8192

_FIELDS = ("Credential", "SignedHeaders", "Signature")
ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_DATE = re.compile(r"[0-9]{8}")
_REGION_OR_SERVICE = re.compile(r"[a-z0-9-]{1,64}")
_HEADER_NAME = re.compile(r":?[a-z0-9!#$%&'*+.^_`|~-]{1,128}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the header says: who signed, for what, which headers, and the signature in hexadecimal digits."""

    access_key_id: str = field(repr=False)
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)


def parse_authorization(value: str) -> Authorization:
    """The header's parts. Signed headers are distinct and in order; nothing of this is verified yet.

    Raises:
        ParleyError: not-authenticated, when it is of another scheme or malformed; the detail never quotes it.
    """
    if len(value) > AUTHORIZATION_MAX_CHARS:
        raise _malformed(f"is longer than {AUTHORIZATION_MAX_CHARS} characters")
    scheme, _, rest = value.partition(" ")
    if scheme != ALGORITHM:
        raise ParleyError("not-authenticated", f"The Authorization header's scheme is not {ALGORITHM}.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, text = part.strip(" ").partition("=")
        if name not in _FIELDS or not equals or name in fields:
            raise _malformed("holds something else than Credential, SignedHeaders and Signature, each once")
        fields[name] = text
    for name in _FIELDS:
        if name not in fields:
            raise _malformed(f"has no {name}")
    access_key_id, scope = _parse_credential(fields["Credential"])
    signed_headers = tuple(fields["SignedHeaders"].split(";"))
    if not all(map(_HEADER_NAME.fullmatch, signed_headers)) or sorted(set(signed_headers)) != list(signed_headers):
        raise _malformed("has SignedHeaders that are not distinct lower-case names in order, separated by semicolons")
    if not _SIGNATURE.fullmatch(fields["Signature"]):
        raise _malformed("has a Signature that is not 64 lower-case hexadecimal digits")
    return Authorization(access_key_id, scope, signed_headers, fields["Signature"])


def _parse_credential(credential: str) -> tuple[str, Scope]:
    parts = credential.split("/")
    if len(parts) == 5:
        access_key_id, date, region, service, terminator = parts
        if (
            ACCESS_KEY_ID.fullmatch(access_key_id)
            and _DATE.fullmatch(date)
            and _REGION_OR_SERVICE.fullmatch(region)
            and _REGION_OR_SERVICE.fullmatch(service)
            and terminator == TERMINATOR
        ):
            return access_key_id, Scope(date, region, service)
    raise _malformed(f"has a Credential that is not of the form KEY/yyyymmdd/region/service/{TERMINATOR}")


def _malformed(how: str) -> ParleyError:
    return ParleyError("not-authenticated", f"Its Authorization header {how}.")
