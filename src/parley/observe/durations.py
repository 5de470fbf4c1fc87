"""How long things have been going on: each by its name and number, begun once and ended once."""

type Key = tuple[str, int]


class Durations:
    """What has begun and has not ended, with the time at which it did."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._since

    def begin(self, key: Key, now: float) -> bool:
        """It begins; False when it goes on already."""
        if key in self._since:
            return False
        self._since[key] = now
        return True

    def end(self, key: Key, now: float) -> float | None:
        """It ends: how long it went on, in seconds; None when it did not."""
        since = self._since.pop(key, None)
        return None if since is None else now - since

    def going_on(self) -> tuple[Key, ...]:
        """What has not ended, in the order in which it began."""
        return tuple(self._since)
