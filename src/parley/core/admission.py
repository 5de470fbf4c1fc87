"""How many sessions may live at once, and what the others are told."""

from parley.core.errors import ParleyError


class Admission:
    """Counts live sessions for as long as they live, against a limit that the model server can stand.

    vLLM over its budget accepts a session and goes quiet, so what is over the limit is refused here, with a hint.
    """

    __slots__ = ("_retry_after_s", "_sessions_max", "live", "refused")

    def __init__(self, sessions_max: int, retry_after_s: float) -> None:
        self._sessions_max = sessions_max
        self._retry_after_s = retry_after_s
        self.live = 0
        self.refused = 0

    def check(self) -> None:
        """Whether there is a place.

        Raises:
            ParleyError: at-capacity, when there is none; it says when to retry.
        """
        if self.live >= self._sessions_max:
            self.refused += 1
            raise ParleyError(
                "at-capacity",
                f"{self._sessions_max} sessions are live; retry after {self._retry_after_s:g} s.",
                retry_after_s=self._retry_after_s,
            )

    def admit(self) -> None:
        """Take a place.

        Raises:
            ParleyError: as `check` does.
        """
        self.check()
        self.live += 1

    def release(self) -> None:
        """Give a place back."""
        assert self.live > 0, "only an admitted session is released"
        self.live -= 1
