"""The keys of an issuer as they are known now: fetched again and again, and used for a while when they can't be."""

from collections.abc import Callable

from parley.access.jwt.key_set import KeySet, VerificationKey
from parley.core.errors import ParleyError

EARLY_INTERVAL_S = 10.0
"""The least time between looks for a key that isn't known. Whoever makes up ids can't have the issuer asked all the
time."""


class KeySource:
    """What is known of an issuer's keys. `clock` gives seconds and never goes back.

    `on_wanted` is called when a token names a key that isn't known, at most once in `EARLY_INTERVAL_S`: it may be new.
    """

    def __init__(
        self, *, clock: Callable[[], float], stale_max_s: float, retry_after_s: float = EARLY_INTERVAL_S
    ) -> None:
        self._clock = clock
        self._stale_max_s = stale_max_s
        self._retry_after_s = retry_after_s
        self._keys: KeySet | None = None
        self._known_at_s = 0.0
        self._wanted_at_s: float | None = None
        self.on_wanted: Callable[[], None] | None = None

    def learn(self, keys: KeySet) -> None:
        """These are the keys now; those before them are good no longer."""
        self._keys = keys
        self._known_at_s = self._clock()

    def find(self, key_id: str | None) -> tuple[VerificationKey, ...]:
        """The keys of this id; all, for None.

        Raises:
            ParleyError: keys-unavailable, when none are known, or none that were seen lately enough.
        """
        age_s = self._clock() - self._known_at_s
        if self._keys is None or age_s > self._stale_max_s:
            self._want()
            raise ParleyError("keys-unavailable", retry_after_s=self._retry_after_s)
        found = self._keys.find(key_id)
        if not found:
            self._want()
        return found

    def _want(self) -> None:
        now_s = self._clock()
        if self.on_wanted is not None and (self._wanted_at_s is None or now_s - self._wanted_at_s >= EARLY_INTERVAL_S):
            self._wanted_at_s = now_s
            self.on_wanted()
