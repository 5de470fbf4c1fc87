"""Which of several servers to connect to."""


class Route:
    """The servers in the order in which they were given: `place` is the one to connect to, the one that served last
    until it fails or says that the session goes on elsewhere; then the others in turn."""

    __slots__ = ("_count", "_failed", "_without", "place")

    def __init__(self, count: int) -> None:
        self._count = count
        self._failed = 0
        self._without: set[int] = set()
        self.place = 0

    def move_on(self) -> None:
        """The session is to be had at another one."""
        self.place = (self.place + 1) % self._count

    def failed(self) -> bool:
        """This one can't serve now, and the next is to be tried. Whether all have been: then there is time to wait."""
        self.move_on()
        self._failed = (self._failed + 1) % self._count
        return not self._failed

    def lacks_session(self) -> bool:
        """This one does not know the session. Whether none does."""
        self._without.add(self.place)
        return len(self._without) == self._count

    def arrived(self) -> None:
        """This one serves."""
        self._failed = 0
        self._without.clear()
