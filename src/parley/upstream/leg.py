"""The seam between a session and a model server."""

from collections.abc import Mapping
from typing import Protocol

from parley.core.content import Audio, Text
from parley.core.effects import LegPurpose
from parley.core.events import Event


class LegSink(Protocol):
    """Takes what happened on a leg. Neither method waits or raises."""

    def receive(self, event: Event) -> None:
        """Something happened."""

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """The same as `receive(DeltaReceived(leg_id, text))`, for the event that outnumbers all others."""

    def delay_s(self, leg_id: int) -> float:
        """How long ago the oldest audio was sent that the leg has not consumed, in seconds; 0.0 when there is none."""

    def trace_headers(self, leg_id: int) -> Mapping[str, str]:
        """What the leg's handshake tells of the trace that it is part of (W3C Trace Context); empty for none."""


class LegConnection(Protocol):
    """One connection to a model server that serves one session. No method waits."""

    @property
    def server_name(self) -> str:
        """The model server's name among its pool's, empty outside of one."""

    def start_turn(self) -> None:
        """Start a turn."""

    def send_audio(self, audio: Audio) -> None:
        """Send audio of the running turn."""

    def end_turn(self) -> None:
        """Say that the running turn's audio is complete."""

    def round_trip_s(self) -> float | None:
        """How long the model server takes to answer a ping, in seconds; None when nobody knows. Who asks has it asked
        again."""

    def close(self) -> None:
        """Close the connection; no event comes of it any more."""


class LegSource(Protocol):
    """Where one session gets its legs from."""

    async def open_leg(self, leg_id: int, sink: LegSink, purpose: LegPurpose) -> LegConnection:
        """Get a stream, connect and name the model; events carry `leg_id`. LegOpened is the caller's to report; where
        the stream has to be waited for the sink gets LegQueued, and LegAdmitted in the end.

        Raises:
            ParleyError: upstream-unavailable, at-capacity, too-many-sessions or upstream-protocol.
        """


class Upstream(Protocol):
    """A model server, or several as one."""

    async def open_leg(self, leg_id: int, sink: LegSink) -> LegConnection:
        """Connect and name the model; events carry `leg_id`. LegOpened is the caller's to report.

        A session gives the same `sink` for all its legs: a pool tells by it that a session comes back.

        Raises:
            ParleyError: upstream-unavailable, at-capacity or upstream-protocol.
        """
