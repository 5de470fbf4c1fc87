"""What is known of a metric before anything is counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

LABEL_VALUES_MAX = 64
"""Of one label; what comes beyond counts as `other`."""
OTHER = "other"

FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds for what should take no time."""
SPEECH_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Bounds for what somebody waits for."""
OPENING_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for what takes no time, unless it has to wait its turn."""
LONG_S = (1.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 36_000.0)
"""Bounds for how long things live."""
SIZES = (4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0)
"""Bounds in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric, by its Prometheus name without `_total`.

    `labels` maps each label to what it says; their values are words of closed vocabularies or of the settings. `words`
    has those of the labels that take few: a metric all of whose labels are there is counted from 0 on for each of them,
    since nobody can tell a rise from a beginning. `means` is what an operator reads from its moving. `otlp` is its name
    in OpenTelemetry where that is not `parley.` and the name without its unit, and `otlp_attributes` what the
    conventions want with that name.
    """

    name: str
    kind: Kind
    help: str
    means: str
    labels: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    otlp: str = ""
    otlp_attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Seconds, bytes, or nothing for what is counted."""
        return next((unit for unit in ("seconds", "bytes") if self.name.endswith(f"_{unit}")), "")

    @property
    def beginnings(self) -> Iterator[Mapping[str, str]]:
        """The labels that it is counted for from the start, whether anything happens or not."""
        if self.labels and self.words.keys() == self.labels.keys():
            for values in product(*self.words.values()):
                yield dict(zip(self.words, values, strict=True))

    @property
    def exposed(self) -> str:
        """Its name in Prometheus's text."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def otlp_name(self) -> str:
        """Its name in OpenTelemetry."""
        if self.otlp:
            return self.otlp
        stem = self.name.removeprefix("parley_")
        return "parley." + stem.removesuffix(f"_{self.unit}" if self.unit else "")
