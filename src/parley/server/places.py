"""A place for a session wherever its number is bounded: on the node, and on the model servers behind its endpoint."""

from parley.core.admission import Admission


class Places:
    """Several bounds as one: a session takes a place in each, or in none."""

    def __init__(self, *bounds: Admission) -> None:
        self._bounds = bounds

    def check(self) -> None:
        """Whether there is a place.

        Raises:
            ParleyError: at-capacity, as the first bound that is reached says it.
        """
        for bound in self._bounds:
            bound.check()

    def admit(self) -> None:
        """Take a place.

        Raises:
            ParleyError: as `check` does.
        """
        self.check()
        for bound in self._bounds:
            bound.admit()

    def release(self) -> None:
        """Give a place back."""
        for bound in self._bounds:
            bound.release()
