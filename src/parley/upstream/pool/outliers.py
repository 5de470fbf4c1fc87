"""Which server of a pool fails much more often than the others do.

What is counted is how legs fared: a turn that was transcribed, a leg that failed or was refused. A single server is no
outlier, and where many fail the cause is elsewhere: never more than half of a pool is left alone for this.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 60.0
EJECT_S = 30.0
FAILURES_MIN = 5
"""Fewer failures say nothing about a rate."""

RATE_MIN = 0.1
"""A server that fails less often than this is none, however well the others do."""

TIMES_WORSE = 3.0

_BUCKET_S = 10.0
_BUCKETS_MAX = int(WINDOW_S / _BUCKET_S)


@dataclass(slots=True)
class _Bucket:
    began_at: float
    good: int = 0
    bad: int = 0


class Outcomes:
    """How the legs of one server fared of late: within a window of 60 s, in steps of 10 s. `now` is in seconds."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=_BUCKETS_MAX)

    def worked(self, now: float) -> None:
        """A turn was transcribed."""
        self._bucket(now).good += 1

    def failed(self, now: float) -> None:
        """A leg failed, or was refused."""
        self._bucket(now).bad += 1

    def clear(self) -> None:
        """Forget all: it is another server now, or is to be judged anew."""
        self._buckets.clear()

    def tally(self, now: float) -> "Tally":
        """What is in the window."""
        recent = [bucket for bucket in self._buckets if now - bucket.began_at < WINDOW_S]
        return Tally(sum(bucket.good for bucket in recent), sum(bucket.bad for bucket in recent))

    def _bucket(self, now: float) -> _Bucket:
        if not self._buckets or now - self._buckets[-1].began_at >= _BUCKET_S:
            self._buckets.append(_Bucket(now))
        return self._buckets[-1]


@dataclass(frozen=True, slots=True)
class Tally:
    """Turns transcribed, and failures; `is_ejected` while its server is left alone for an earlier judgement."""

    good: int
    bad: int
    is_ejected: bool = False

    @property
    def rate(self) -> float:
        """The share of failures."""
        total = self.good + self.bad
        return self.bad / total if total else 0.0


def outlier(tallies: Sequence[Tally]) -> int | None:
    """The place of the server that is to be ejected next, the worst; None when none is, or no more may be."""
    if sum(one.is_ejected for one in tallies) + 1 > len(tallies) // 2:
        return None
    worst = max(
        (at for at, one in enumerate(tallies) if not one.is_ejected and one.bad >= FAILURES_MIN),
        key=lambda at: tallies[at].rate,
        default=None,
    )
    if worst is None:
        return None
    others = [one for at, one in enumerate(tallies) if at != worst and not one.is_ejected]
    theirs = Tally(sum(one.good for one in others), sum(one.bad for one in others))
    # Servers that nothing is known of are nothing to compare with.
    is_worse = theirs.good > 0 and tallies[worst].rate >= max(RATE_MIN, TIMES_WORSE * theirs.rate)
    return worst if is_worse else None
