"""The endpoints of a node by their names, and which variant of one serves a request."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from parley.core.errors import ParleyError
from parley.ingress.invocation import Invocation, Target

OWN_POOL = "own"
"""The name of the pool of this node's own sessions; others have their endpoint's."""
DEFAULT_ENDPOINT = "parley"
"""The name of the only endpoint of a node that was given none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of an endpoint: what serves it, and its share of the requests that name none."""

    endpoint: str
    target: Target
    weight: float = 1.0


class EndpointTable:
    """An `Endpoints`: finds what serves an invocation. `random` gives a number in [0, 1), which draws the variant.

    As on SageMaker, names are told apart by their case, a variant is drawn whether or not it is ready, and one of
    weight 0 is had by its name alone. Each endpoint needs a variant of a weight above 0.
    """

    def __init__(self, variants: Iterable[Variant], random: Callable[[], float]) -> None:
        self._random = random
        self._endpoints: dict[str, dict[str, Variant]] = {}
        for one in variants:
            self._endpoints.setdefault(one.endpoint, {})[one.target.variant] = one

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints' names, in the order of the settings."""
        return tuple(self._endpoints)

    def find(self, invocation: Invocation) -> Target:
        """See `Endpoints.find`."""
        variants = self._endpoints.get(invocation.endpoint)
        if variants is None:
            raise ParleyError("endpoint-not-found", _nearest(invocation.endpoint, self._endpoints))
        if not invocation.variant:
            return self._draw(list(variants.values()))
        named = variants.get(invocation.variant)
        if named is None:
            raise ParleyError("endpoint-not-found", _nearest(invocation.variant, variants))
        return named.target

    def _draw(self, variants: list[Variant]) -> Target:
        mark = self._random() * sum(one.weight for one in variants)
        drawn = [one for one in variants if one.weight]
        for one in drawn:
            mark -= one.weight
            if mark < 0:
                return one.target
        # Rounding may leave a hair's breadth behind the last one.
        return drawn[-1].target


def _nearest(name: str, known: Iterable[str]) -> str:
    """Which name may have been meant."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {nearest[0]}?" if nearest else ""
