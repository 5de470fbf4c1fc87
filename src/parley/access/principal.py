"""Whose a request is, as a value that can be kept and compared without being a credential.

Every listener computes it in the same way, so that a session that was begun on one can be resumed on another.
"""

import hashlib
import re

_SIGNER = re.compile(r"AWS4-HMAC-SHA256 .*?Credential=([^/,\s]+)/")
"""The access key of Signature Version 4, without the scope and the signature that change."""


def principal_of_key(access_key_id: str) -> str:
    """The principal that signs with this access key."""
    return hashlib.sha256(access_key_id.encode("utf-8", "surrogateescape")).hexdigest()


def principal_of(authorization: str) -> str:
    """The principal that an Authorization header claims, whatever its scheme; empty without one.

    Nothing is verified. For a signature it is that of `principal_of_key`, for anything else one of the whole header.
    """
    if not authorization:
        return ""
    # A signature differs with each request; whose it is does not.
    signer = _SIGNER.match(authorization)
    return principal_of_key(signer[1] if signer else authorization)
