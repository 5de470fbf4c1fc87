"""A registry in Prometheus's text, or in OpenMetrics's, which has room for exemplars."""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

_END = b"# EOF\n"
"""Of an exposition (OpenMetrics, "Overall Structure")."""


async def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All that is counted, in the form that an Accept header asks for, and what to call it in Content-Type.

    It takes some milliseconds in all, which nobody is to wait for: other work has a turn after each metric.
    """
    encode, content_type = choose_encoder(accept)
    written: list[bytes] = []
    for family in registry.collect():
        written.append(encode(_One(family)).removesuffix(_END))
        await asyncio.sleep(0)
    if content_type.startswith("application/openmetrics-text"):
        written.append(_END)
    return b"".join(written), content_type


class _One(Collector):
    """One metric as a registry that an encoder takes, without the times at which series began: they would be a fourth
    of all series, and parley_uptime_seconds tells."""

    def __init__(self, family: Family) -> None:
        self._family = family
        family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]

    def collect(self) -> Iterable[Family]:
        """See `Collector`."""
        return (self._family,)
