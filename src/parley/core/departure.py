"""A session's way off its server: when it goes, and whether it is on its way."""

from parley.core import events as ev


class Departure:
    """The times of a drain, on the session's clock; None where there is none.

    Turns in flight may finish until `deadline`. With `move_at` the session may go on at another server from then on, in
    the next pause, and from `move_by` on without one. `is_under_way`: its state is being stored; meanwhile nothing is
    taken from its client, nor told to it. `client_reads` says whether it could be told something.
    """

    __slots__ = ("_move_at", "_waits_for_pause", "client_reads", "deadline", "is_under_way", "move_by")

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.move_by: float | None = None
        self._move_at: float | None = None
        self._waits_for_pause = False
        self.is_under_way = False
        self.client_reads = False

    @property
    def may_move(self) -> bool:
        """Whether another server may take the session over."""
        return self._move_at is not None

    def announce(self, event: ev.DrainStarted, *, can_move: bool) -> None:
        """The server is going away; `can_move` says whether the session has what it takes to be found elsewhere."""
        self.deadline = event.deadline
        self._move_at = event.move_at if can_move else None
        self.move_by = event.move_by if can_move else None
        self._waits_for_pause = False

    def cancel(self) -> None:
        """The server stays. A session that is on its way goes nevertheless."""
        self.deadline = self._move_at = self.move_by = None

    def is_due(self, now: float, *, is_quiet: bool, is_attached: bool) -> bool:
        """Whether the session goes now. Without a client, and in a pause, nobody notices."""
        if self._move_at is None or self.is_under_way:
            return False
        if not is_attached or (self.move_by is not None and now >= self.move_by):
            return True
        self._waits_for_pause = now >= self._move_at
        return self._waits_for_pause and is_quiet

    def begin(self, *, client_reads: bool) -> None:
        """The session goes."""
        self.is_under_way = True
        self.client_reads = client_reads

    def refuse(self) -> None:
        """It can't go: what it has to do it may do here until the deadline."""
        self.is_under_way = False
        self._move_at = self.move_by = None

    def next_deadline(self) -> float | None:
        """When to look again, if ever."""
        move = self.move_by if self._waits_for_pause else self._move_at
        times = (self.deadline, None if self.is_under_way else move)
        return min((at for at in times if at is not None), default=None)

    def is_over(self, now: float) -> bool:
        """Whether the time to finish is up."""
        return self.deadline is not None and now >= self.deadline
