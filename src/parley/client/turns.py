"""The user's turns: which one is open, and which are not done. Numbered as the server numbers its items."""


class Turns:
    """`open` is the item of the turn that takes audio, 0 for none; `pending` are the items that are not done, in order.

    The server counts an item for every turn that is started, and for one that begins again, its audio cleared.
    """

    __slots__ = ("_cancelling", "_count", "_has_audio", "_too_late", "open", "pending")

    def __init__(self) -> None:
        self._count = 0
        self._has_audio = False
        self._cancelling: set[int] = set()
        self._too_late: set[int] = set()
        self.open = 0
        self.pending: list[int] = []

    @property
    def awaited(self) -> int:
        """How many turns have ended whose results are not complete."""
        return len(self.pending) - (self.open in self.pending)

    def start(self) -> None:
        """A turn begins."""
        self._count += 1
        self._has_audio = False
        self.open = self._count
        self.pending.append(self.open)

    def hear(self) -> None:
        """The open turn has audio."""
        self._has_audio = True

    def end(self) -> None:
        """The open turn's audio is complete."""
        self.open = 0

    def clear(self) -> None:
        """The open turn's audio is void, and it begins again. Without any the server changes nothing."""
        if self._has_audio:
            self.over(self.open)
            self.start()

    def cancel(self, item: int) -> int:
        """A turn is given up, 0 for the oldest; returns its item, and 0 when there is none to give up."""
        known = [number for number in self.pending if number not in self._cancelling]
        chosen = item or (known[0] if known else 0)
        if chosen not in known:
            return 0
        if chosen == self.open:
            self.open = 0
        self._cancelling.add(chosen)
        return chosen

    def cancelled(self, item: int) -> None:
        """The server gave the turn up."""
        self._cancelling.discard(item)
        self.over(item)

    def over(self, item: int) -> None:
        """The server has nothing more to say of this item."""
        if item in self.pending:
            self.pending.remove(item)
        if item in self._cancelling:
            self._cancelling.discard(item)
            self._too_late.add(item)

    def excuse(self) -> bool:
        """Whether a complaint about an item that does not exist is the answer to a cancel that came too late."""
        if self._too_late:
            self._too_late.remove(min(self._too_late))
            return True
        return False
