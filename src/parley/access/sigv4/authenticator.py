"""Who sent a request: by its signature."""

import hmac
from collections.abc import Callable

from parley.access.caller import Caller
from parley.access.identity import Identity, RequestHead
from parley.access.principal import principal_of_key
from parley.access.sigv4.access_key import AccessKey, AccessKeys
from parley.access.sigv4.canonical import wire_bytes
from parley.access.sigv4.claim import EVENTS_PAYLOAD, Claim, read_claim
from parley.access.sigv4.event_chain import EventChain
from parley.access.sigv4.replay import ReplayMemory
from parley.access.sigv4.signing_key import SigningKeys
from parley.access.sigv4.skew import SKEW_MAX_S, check_skew
from parley.access.sigv4.stamp import describe_time
from parley.core.errors import ParleyError

SERVICE = "sagemaker"


class SigV4Authenticator:
    """An `Authenticator` that verifies Signature Version 4 of requests that carry a stream of signed events.

    `clock` gives seconds since 1970. With a `region` no other is taken; without one a request may name any, for it is
    only a part of what is signed. A request is taken within `skew_max_s` of its time of signing, and once: see
    `ReplayMemory`.
    """

    name = "Signature Version 4"
    is_beside_others = False

    def __init__(
        self,
        keys: AccessKeys,
        *,
        clock: Callable[[], float],
        region: str = "",
        skew_max_s: float = SKEW_MAX_S,
        requests_max: int = 65_536,
        signing_keys_max: int = 256,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._region = region
        self._skew_max_s = skew_max_s
        # Signed up to so much ahead of this clock, a request is good until it is as much behind it.
        self._replays = ReplayMemory(window_s=2 * skew_max_s, entries_max=requests_max)
        self._signing_keys = SigningKeys(signing_keys_max)

    def recognises(self, request: RequestHead) -> bool:
        """Whether its Authorization header is of this scheme."""
        return any(value.startswith("AWS4-") for value in request.values("authorization"))

    def authenticate(self, request: RequestHead) -> Identity:
        """Who signed the request, and the guard of its events.

        Raises:
            ParleyError: not-authenticated, unknown-credentials, expired-credentials, clock-skew, invalid-signature,
                request-replayed or at-capacity; the first that applies in this order, except that a request whose
                shape alone makes its signature wrong is invalid-signature at once.
        """
        claim = read_claim(request, EVENTS_PAYLOAD)
        self._check_scope(claim)
        key = self._find_key(claim)
        now_s = self._clock()
        if key.is_expired(now_s):
            raise ParleyError("expired-credentials", f"It is {describe_time(now_s)} by this server's clock.")
        check_skew(claim.signed_at_s, now_s, self._skew_max_s, "The request")
        claim.verify(self._signing_keys.find(key.secret_access_key, claim.scope))
        self._replays.take(claim.signature, now_s, is_unique=claim.is_unique)
        chain = EventChain(
            claim.signature, key, claim.scope, self._signing_keys, clock=self._clock, skew_max_s=self._skew_max_s
        )
        principal = key.principal or key.access_key_id
        caller = Caller(
            principal_of_key(principal),
            f"aws:{principal}",
            key.tenant,
            method="sigv4",
            expires_at_s=key.expires_at_s,
        )
        return Identity(caller, chain)

    def _check_scope(self, claim: Claim) -> None:
        service, region = claim.scope.service, claim.scope.region
        if service != SERVICE:
            raise ParleyError("invalid-signature", f"It is signed for the service `{service}`.")
        if self._region and region != self._region:
            raise ParleyError("invalid-signature", f"It is signed for the region `{region}`, not `{self._region}`.")

    def _find_key(self, claim: Claim) -> AccessKey:
        key = self._keys.find(claim.access_key_id)
        if key is None:
            raise ParleyError("unknown-credentials", "There is no such access key.")
        if not hmac.compare_digest(wire_bytes(claim.session_token), key.session_token.encode()):
            raise ParleyError("unknown-credentials", _describe_token(claim, key))
        return key


def _describe_token(claim: Claim, key: AccessKey) -> str:
    if not claim.session_token:
        return "The access key is a temporary one, and its session token is missing (AWS_SESSION_TOKEN)."
    if not key.session_token:
        return "The access key is a permanent one, and a session token came with it (AWS_SESSION_TOKEN)."
    return "The session token is another one than the access key's."
