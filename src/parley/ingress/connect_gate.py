"""The burst limit: how many connections are taken up in a second, and how many in one turn of the event loop.

```
connection ─► enter ─► its turn and a token? ─yes─► begin
                          │ no
                          ├─► waits: those that come back first, then the others, each in the order of arrival
                          └─► refused: too-many-connects, when too many wait, or it would have to wait too long
```
A handshake costs as much of the loop's time as seconds of a session's audio, and an event loop takes all that is ready
in one turn. So the work of a connection is begun here, in a share of each turn, whether or not there is a limit by the
second.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from parley.core.errors import ParleyError
from parley.core.token_bucket import TokenBucket
from parley.ingress.turn_share import TurnShare

_log = logging.getLogger("parley.ingress")

_BEGUN_PER_TURN_MAX = 8
_SHARE_S = 0.0025


class Passage(IntEnum):
    """For what a connection comes, the first to be served first: what costs next to nothing and is not limited, such as
    a health check; a session that exists; anything else."""

    FREE = 0
    RETURN = 1
    NEW = 2


@dataclass(eq=False, slots=True)
class Entry:
    """A connection at the gate, and whether it still waits there to begin."""

    passage: Passage
    begin: Callable[[], None]
    is_waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """So many connections a second (0: any number) after a burst; at most `waiting_max` of a passage are held back, and
    none for longer than about `wait_max_s`."""

    connects_per_s: int = 0
    burst: int = 100
    waiting_max: int = 2_000
    wait_max_s: float = 20.0


class ConnectGate:
    """One node's, for all its listeners; `clock` gives seconds from any origin, and `stopwatch` also within a turn."""

    def __init__(
        self, limits: GateLimits, clock: Callable[[], float], *, stopwatch: Callable[[], float] = time.perf_counter
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._bucket = TokenBucket(limits.connects_per_s, limits.burst, clock()) if limits.connects_per_s else None
        self._lines: tuple[dict[Entry, None], ...] = tuple({} for _ in Passage)
        self._share = TurnShare(_SHARE_S, self._serve, count_max=_BEGUN_PER_TURN_MAX, stopwatch=stopwatch)
        self._token: asyncio.TimerHandle | None = None
        self._is_refusing = False

    @property
    def waiting(self) -> int:
        """How many connections are held back."""
        return sum(map(len, self._lines))

    def enter(self, passage: Passage, begin: Callable[[], None], refuse: Callable[[ParleyError], None]) -> Entry:
        """A connection is there: it begins now, later, or is refused. Neither callable may raise."""
        entry = Entry(passage, begin)
        error = self._refusal(passage)
        if error is None:
            entry.is_waiting = True
            self._lines[passage][entry] = None
            self._serve()
        else:
            if not self._is_refusing:
                _log.warning("connections are refused: %d wait to be taken up", self.waiting)
            self._is_refusing = True
            refuse(error)
        return entry

    def leave(self, entry: Entry) -> None:
        """The connection is gone, or is not to begin any more."""
        entry.is_waiting = False
        self._lines[entry.passage].pop(entry, None)
        if self._token is not None and not self.waiting:
            self._token.cancel()
            self._token = None

    def _refusal(self, passage: Passage) -> ParleyError | None:
        waiting = len(self._lines[passage])
        wait_s = self._wait_s(passage)
        if waiting < self._limits.waiting_max and wait_s <= self._limits.wait_max_s:
            return None
        return ParleyError(
            "too-many-connects", f"{waiting} wait to be taken up.", retry_after_s=float(max(1, math.ceil(wait_s)))
        )

    def _wait_s(self, passage: Passage) -> float:
        """How long one more would wait, going by the tokens."""
        if self._bucket is None or passage is Passage.FREE:
            return 0.0
        ahead = sum(len(self._lines[earlier]) for earlier in range(Passage.RETURN, passage + 1))
        return self._bucket.wait_s(ahead + 1, self._clock())

    def _serve(self) -> None:
        """Begin as many as this turn has left."""
        while not self._share.is_spent:
            line = next((line for line in self._lines if line), None)
            if line is None:
                self._is_refusing = False
                return
            entry = next(iter(line))
            if entry.passage is not Passage.FREE and not self._has_token():
                return
            del line[entry]
            entry.is_waiting = False
            self._share.spend(entry.begin)

    def _has_token(self) -> bool:
        if self._token is not None:
            return False
        bucket = self._bucket
        if bucket is None or bucket.take(self._clock()):
            return True
        loop = asyncio.get_running_loop()
        self._token = loop.call_later(bucket.wait_s(1, self._clock()), self._token_came)
        return False

    def _token_came(self) -> None:
        self._token = None
        self._serve()
