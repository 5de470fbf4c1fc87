"""Where the time of a session goes: to its client's link, this gateway, the link to the model server, or the model.

`docs/design/telemetry.md` says why each is measured as it is, and what it is not fooled by.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from parley.observe.marks import Sample

WINDOW_SAMPLES = 10
"""Ten seconds of samples."""
NOTABLE_S = 0.02
"""Nobody hears less."""


class Place(StrEnum):
    """Where time may go."""

    CLIENT_LINK = "client-link"
    GATEWAY = "gateway"
    UPSTREAM_LINK = "upstream-link"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class PlacesView:
    """How much time each place takes of late, in seconds; None where nothing could be measured. `slowest` is the one
    that takes most, empty when none takes a notable time."""

    client_link_s: float | None
    gateway_s: float | None
    upstream_link_s: float | None
    model_s: float | None
    slowest: str


class Places:
    """The last samples of a session, with how late the loop was when each was taken."""

    __slots__ = ("_window",)

    def __init__(self) -> None:
        self._window: deque[tuple[Sample, float]] = deque(maxlen=WINDOW_SAMPLES)

    def sample(self, sample: Sample, loop_late_s: float) -> None:
        """A look at the session. `loop_late_s` is how late the event loop was of late, but for its worst moments."""
        self._window.append((sample, loop_late_s))

    def view(self) -> PlacesView:
        """Where the time goes."""
        samples = [sample for sample, _ in self._window]
        client_s = _least([sample.client_rtt_s for sample in samples])
        upstream_s = _least([sample.upstream_rtt_s for sample in samples])
        gateway_s = model_s = None
        if samples:
            late_s = median(late_s for _, late_s in self._window)
            # What waits for a stream waits for a place here, not for the model.
            waited_s = median(sample.held_s if sample.state == "queued" else 0.0 for sample in samples)
            gateway_s = max(late_s, waited_s)
            at_work = [sample.model_delay_s for sample in samples if sample.has_leg]
            if at_work:
                model_s = max(0.0, median(at_work) - (upstream_s or 0.0) - late_s)
        times = {
            Place.CLIENT_LINK: client_s,
            Place.GATEWAY: gateway_s,
            Place.UPSTREAM_LINK: upstream_s,
            Place.MODEL: model_s,
        }
        known = {place: time_s for place, time_s in times.items() if time_s is not None and time_s >= NOTABLE_S}
        slowest = max(known, key=lambda place: known[place]).value if known else ""
        return PlacesView(_round(client_s), _round(gateway_s), _round(upstream_s), _round(model_s), slowest)


def _least(times: list[float | None]) -> float | None:
    return min((time_s for time_s in times if time_s is not None), default=None)


def _round(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 4)
