"""Whoever holds one of the access keys: found by what a request claims, and verified by what it was signed with."""

import hmac

from parley.access.caller import Caller
from parley.access.principal import principal_of_key
from parley.access.sigv4.access_key import AccessKey, AccessKeys
from parley.access.sigv4.canonical import wire_bytes
from parley.access.sigv4.claim import Claim
from parley.access.sigv4.signing_key import SigningKeys
from parley.access.sigv4.stamp import describe_time
from parley.core.errors import ParleyError

SERVICE = "sagemaker"


class Signers:
    """The holders of access keys. With a `region` no other is taken; without one a request may name any, for it is
    only a part of what is signed."""

    def __init__(self, keys: AccessKeys, *, region: str = "", signing_keys_max: int = 256) -> None:
        self._keys = keys
        self._region = region
        self.signing_keys = SigningKeys(signing_keys_max)

    def find(self, claim: Claim, now_s: float) -> AccessKey:
        """The key that a request claims to be signed with, at this time in seconds since 1970. Nothing is verified yet.

        Raises:
            ParleyError: invalid-signature for another service or region, unknown-credentials or expired-credentials.
        """
        self._check_scope(claim)
        key = self._keys.find(claim.access_key_id)
        if key is None:
            raise ParleyError("unknown-credentials", "There is no such access key.")
        if not hmac.compare_digest(wire_bytes(claim.session_token), key.session_token.encode()):
            raise ParleyError("unknown-credentials", _describe_token(claim, key))
        if key.is_expired(now_s):
            raise ParleyError("expired-credentials", f"It is {describe_time(now_s)} by this server's clock.")
        return key

    def verify(self, claim: Claim, key: AccessKey) -> Caller:
        """Whose request it is, if this key has signed it.

        Raises:
            ParleyError: invalid-signature.
        """
        claim.verify(self.signing_keys.find(key.secret_access_key, claim.scope))
        principal = key.principal or key.access_key_id
        return Caller(
            principal_of_key(principal),
            f"aws:{principal}",
            key.tenant,
            method="sigv4",
            expires_at_s=key.expires_at_s,
        )

    def _check_scope(self, claim: Claim) -> None:
        service, region = claim.scope.service, claim.scope.region
        if service != SERVICE:
            raise ParleyError("invalid-signature", f"It is signed for the service `{service}`.")
        if self._region and region != self._region:
            raise ParleyError("invalid-signature", f"It is signed for the region `{region}`, not `{self._region}`.")


def _describe_token(claim: Claim, key: AccessKey) -> str:
    if not claim.session_token:
        return "The access key is a temporary one, and its session token is missing (AWS_SESSION_TOKEN)."
    if not key.session_token:
        return "The access key is a permanent one, and a session token came with it (AWS_SESSION_TOKEN)."
    return "The session token is another one than the access key's."
