"""Audio of a turn that no model was sent: where it was, so that positions can be told on the session's cursor.

Positions in a turn count the audio that models hear. What was dropped lies between two of its samples: a *hole*.
"""

from collections.abc import Iterator
from itertools import pairwise

from parley.core.invariants import Invariant

_ZONES_MAX = 32
"""Holes that a turn tells apart; of more, the two that are closest to each other become one zone."""

type Zone = tuple[int, int, int]


class Holes:
    """The holes of one turn, in order, as zones: `samples` of audio were dropped between the positions `first` and
    `last`. A hole is a zone without extent. Within one that holds several it is not known how much was dropped where.
    """

    __slots__ = ("samples", "zones")

    def __init__(self, zones: tuple[Zone, ...] = ()) -> None:
        self.zones = list(zones)
        self.samples = sum(samples for _, _, samples in zones)

    def add(self, position: int, samples: int) -> None:
        """Audio was dropped at a position; no hole is behind it."""
        zones = self.zones
        self.samples += samples
        if zones and zones[-1][1] == position:
            first, last, before = zones[-1]
            zones[-1] = first, last, before + samples
            return
        zones.append((position, position, samples))
        if len(zones) > _ZONES_MAX:
            distances = [behind[0] - zone[1] for zone, behind in pairwise(zones)]
            index = distances.index(min(distances))
            (first, _, one), (_, last, two) = zones[index : index + 2]
            zones[index : index + 2] = [(first, last, one + two)]

    def begin(self, position: int) -> int:
        """How far into all the turn's audio, dropped or not, the audio from a position on begins; within a zone, the
        earliest that it may be."""
        return position + sum(samples for _, last, samples in self.zones if last <= position)

    def end(self, position: int) -> int:
        """The same for the audio up to a position: where it ends; within a zone, the latest that it may be."""
        return position + sum(samples for first, _, samples in self.zones if first < position)

    def invariants(self, end: int) -> Iterator[Invariant]:
        """What holds of them; no hole is behind `end`."""
        places = [place for first, last, _ in self.zones for place in (first, last)]
        yield places == sorted(places), "holes are in order"
        yield not places or (places[0] >= 0 and places[-1] <= end), "nothing is dropped that was sent"
        yield all(samples > 0 for _, _, samples in self.zones), "a hole has an extent"
        yield self.samples == sum(samples for _, _, samples in self.zones), "the holes' samples add up"
        yield len(self.zones) <= _ZONES_MAX, "holes are bounded"
