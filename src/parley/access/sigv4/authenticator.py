"""Who sent a request: by its signature."""

from collections.abc import Callable

from parley.access.identity import Identity, RequestHead
from parley.access.sigv4.access_key import AccessKeys
from parley.access.sigv4.claim import read_claim
from parley.access.sigv4.event_chain import EventChain
from parley.access.sigv4.payload import body_guard, payload_hash_of
from parley.access.sigv4.replay import ReplayMemory
from parley.access.sigv4.signers import Signers
from parley.access.sigv4.skew import SKEW_MAX_S, check_skew


class SigV4Authenticator:
    """A `Method` that verifies Signature Version 4 in a request's headers: of one that carries a stream of signed
    events, of one with a body whose hash is signed or says that it isn't, and of one without.

    `clock` gives seconds since 1970; for `region` see `Signers`. A request is taken within `skew_max_s` of its time of
    signing, and once: see `ReplayMemory`.
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
        self._signers = Signers(keys, region=region, signing_keys_max=signing_keys_max)
        self._clock = clock
        self._skew_max_s = skew_max_s
        # Signed up to so much ahead of this clock, a request is good until it is as much behind it.
        self._replays = ReplayMemory(window_s=2 * skew_max_s, entries_max=requests_max)

    def recognises(self, request: RequestHead) -> bool:
        """Whether its Authorization header is of this scheme."""
        return any(value.startswith("AWS4-") for value in request.values("authorization"))

    def authenticate(self, request: RequestHead) -> Identity:
        """Who signed the request, and the guard of its events or of its body.

        Raises:
            ParleyError: not-authenticated, unknown-credentials, expired-credentials, clock-skew, invalid-signature,
                request-replayed or at-capacity; the first that applies in this order, except that a request whose
                shape alone makes its signature wrong is invalid-signature at once.
        """
        payload_hash = payload_hash_of(request)
        claim = read_claim(request, payload_hash)
        now_s = self._clock()
        key = self._signers.find(claim, now_s)
        check_skew(claim.signed_at_s, now_s, self._skew_max_s, "The request")
        caller = self._signers.verify(claim, key)
        self._replays.take(claim.signature, now_s, is_unique=claim.is_unique)
        if not request.signs_events:
            return Identity(caller, body=body_guard(request, payload_hash))
        chain = EventChain(
            claim.signature,
            key,
            claim.scope,
            self._signers.signing_keys,
            clock=self._clock,
            skew_max_s=self._skew_max_s,
        )
        return Identity(caller, chain)
