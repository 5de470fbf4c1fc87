"""The memory of requests that were taken, so that none is taken twice."""

from collections import OrderedDict

from parley.core.errors import ParleyError

TWIN_WINDOW_S = 10.0
"""Longer than opening a connection takes, in seconds."""

_FORGOTTEN_AT_ONCE_MAX = 64
"""More than are ever taken at once, so that it shrinks, and no more, so that no request pays for all before it."""


class ReplayMemory:
    """Signatures of the requests of the last `window_s` seconds, `entries_max` at most.

    AWS's SDK for Python signs nothing random, and the time of signing in whole seconds. So streams that it opens within
    one second have the same signature and are no replay. They arrive together; `twin_window_s` after the first of them
    the signature has been used up.
    """

    __slots__ = ("_entries_max", "_taken_at_s", "_twin_window_s", "_window_s")

    def __init__(self, *, window_s: float, entries_max: int = 65_536, twin_window_s: float = TWIN_WINDOW_S) -> None:
        self._window_s = window_s
        self._entries_max = entries_max
        self._twin_window_s = twin_window_s
        # A plain dict takes the longer to find its first entry, the more were taken out in front of it.
        self._taken_at_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken_at_s)

    def take(self, signature: str, now_s: float, *, is_unique: bool) -> None:
        """Remember a request's verified signature; `is_unique` says that no other request could have it.

        Raises:
            ParleyError: request-replayed; at-capacity, when there is no room to remember it.
        """
        self._forget(now_s)
        taken_at_s = self._taken_at_s.get(signature)
        if taken_at_s is not None:
            # The clock may have been set back in between.
            if is_unique or abs(now_s - taken_at_s) > self._twin_window_s:
                raise ParleyError("request-replayed")
            return
        if len(self._taken_at_s) >= self._entries_max:
            self._refuse(now_s)
        self._taken_at_s[signature] = now_s

    def _forget(self, now_s: float) -> None:
        """Drop what is out of the window, the oldest first. After the clock was set back by more than the window, what
        lies in the future goes as well: it would fill the memory until then."""
        for _ in range(min(_FORGOTTEN_AT_ONCE_MAX, len(self._taken_at_s))):
            oldest = next(iter(self._taken_at_s))
            if abs(now_s - self._taken_at_s[oldest]) <= self._window_s:
                return
            del self._taken_at_s[oldest]

    def _refuse(self, now_s: float) -> None:
        oldest_s = next(iter(self._taken_at_s.values()))
        raise ParleyError(
            "at-capacity",
            f"{self._entries_max} signed requests were taken in the last {self._window_s:g} s, which is as many as can "
            "be told from a replay.",
            retry_after_s=max(1.0, min(self._window_s, oldest_s + self._window_s - now_s)),
        )
