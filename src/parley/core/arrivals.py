"""When audio came, so that it can be told how long it has been waiting for the model."""

from parley.core.turns import TurnQueue

_MARKS_MAX = 64


class Arrivals:
    """Marks: at this time the session's cursor was here. Audio between two marks counts as come with the later one, so
    that less than there is from one to the next is not seen to wait.

    At the bound every second mark goes, the latest never: the older a mark, the further it is from the next.
    """

    __slots__ = ("_marks", "_turns")

    def __init__(self, turns: TurnQueue) -> None:
        self._turns = turns
        self._marks: list[tuple[int, float]] = []

    def mark(self, cursor: int, now: float) -> None:
        """The cursor is here. To be said for each second of audio, and at the end of a turn."""
        self._marks.append((cursor, now))
        if len(self._marks) > _MARKS_MAX:
            self._marks = self._marks[::-2][::-1]

    def renew(self, begin: int, now: float) -> None:
        """The audio from here on could not be asked for before, whenever it came."""
        self._marks = [(cursor, now if cursor > begin else at) for cursor, at in self._marks]

    def oldest(self, patience_samples: int) -> float | None:
        """When the oldest audio came that the model was asked for and has not answered; None when there is none.

        `patience_samples` is what the model may have without answering. Audio of a turn that was not started waits for
        the client.
        """
        for turn in self._turns:
            if not turn.started or turn.given_up:
                return None
            received = turn.received_samples
            first, last = turn.cursor(min(received, turn.top + patience_samples)), turn.cursor(received)
            for index, (cursor, at) in enumerate(self._marks):
                if first < cursor <= last:
                    # A model does not unsay what it has said: the marks before this one are of no more use.
                    del self._marks[:index]
                    return at
        self._marks.clear()
        return None
