"""Where a session stands, as its client is told: what it waits for, and what is about to happen to it."""

from collections.abc import Callable

from parley.core.notices import Expiring, GoingAway, Lagging, Queued, State
from parley.core.outlet import Outlet

_QUEUE = "queue"
_LAG = "lag"
_LEAVE = "leave"


class Standing:
    """Tells those who opted in, and keeps what holds: who opts in, comes back or reads again is told anew.

    Times are on the session's clock; what is told counts from when it is told. `is_queued` says whether the session
    waits for a stream.
    """

    __slots__ = ("_facts", "_outlet", "_owes", "is_queued")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._facts: dict[str, Callable[[float], State]] = {}
        self._owes = False
        self.is_queued = False

    def queued(self, position: int, eta_s: float | None, now: float) -> None:
        """The session waits for a stream, at this place of the queue."""
        ready_at = None if eta_s is None else now + eta_s

        def state(now: float) -> State:
            return Queued(position, None if ready_at is None else max(0.0, ready_at - now))

        self.is_queued = True
        self._hold(_QUEUE, state, now)

    def admitted(self) -> None:
        """It waits for none any more."""
        self.is_queued = False
        del self._facts[_QUEUE]
        self._say(Queued(0, None))

    def lagging(self, lag_s: float, now: float) -> None:
        """The model is so far behind; 0 when it has caught up."""
        state = Lagging(lag_s)
        self._hold(_LAG, lambda _: state, now)
        if not lag_s:
            del self._facts[_LAG]

    def expiring(self, cause: str, reason: str, at: float, now: float) -> None:
        """The session is to end at this time, for this reason; `cause` names what may be spared, since two may have the
        same reason."""
        self._hold(cause, lambda now: Expiring(reason, max(0.0, at - now)), now)

    def spared(self, cause: str) -> None:
        """It is not to end for this, for now; that is not said."""
        self._facts.pop(cause, None)

    def leaving(self, deadline: float, now: float, *, moves: bool) -> None:
        """The server ends at this time; with `moves` another takes the session up."""
        self._hold(_LEAVE, lambda now: GoingAway("shutting-down", max(0.0, deadline - now), moves), now)

    def stays(self) -> None:
        """It does not, after all; that is not said."""
        self._facts.pop(_LEAVE, None)

    def tell(self, now: float) -> None:
        """Say all that holds."""
        self._owes = False
        for state in list(self._facts.values()):
            self._say(state(now))

    def reads_again(self, now: float) -> None:
        """The client reads again: it is told what it could not be told meanwhile."""
        if self._owes:
            self.tell(now)

    def _hold(self, key: str, state: Callable[[float], State], now: float) -> None:
        self._facts[key] = state
        self._say(state(now))

    def _say(self, state: State) -> None:
        if self._outlet.is_numbered and not self._outlet.state(state):
            self._owes = True
