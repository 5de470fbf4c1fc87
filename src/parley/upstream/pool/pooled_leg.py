"""A leg of a pool: it holds a stream of its server's budget, and tells the pool how it fares.

```
session ──start_turn, send_audio, end_turn, close──► PooledLeg ──► connection
session ◄──────────── receive, receive_delta ◄────── LegWatch  ◄── connection
```
What is called often, `send_audio` and `receive_delta`, is the other side's own method: nothing of the pool is between.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.sagemaker import RETIRED


class LegKeeper(Protocol):
    """Who keeps count of legs."""

    def turn_began(self, watch: "LegWatch") -> None:
        """The leg is at work."""

    def turn_ended(self, watch: "LegWatch") -> None:
        """A turn was transcribed on it."""

    def leg_refused(self, watch: "LegWatch", error: ParleyError) -> None:
        """It could not be opened; heard instead of `leg_ended`."""

    def leg_ended(self, watch: "LegWatch", error: ParleyError | None) -> None:
        """It was closed, or has failed with this error; heard once."""


class LegWatch:
    """The session's sink as a leg sees it: notices the ends of turns and the leg's failure.

    `began_at` is when the leg was asked for, `opened_at` when it was there, None until then. `is_at_work` says that a
    turn is on it, and `delay_s_seen` what its delay was when it was last asked for.
    """

    __slots__ = (
        "_keeper",
        "began_at",
        "delay_s",
        "delay_s_seen",
        "is_at_work",
        "leg_id",
        "opened_at",
        "receive_delta",
        "sink",
        "trace_headers",
    )

    def __init__(self, leg_id: int, sink: LegSink, keeper: LegKeeper, began_at: float) -> None:
        self.leg_id = leg_id
        self.sink = sink
        self._keeper: LegKeeper | None = keeper
        self.began_at = began_at
        self.opened_at: float | None = None
        self.is_at_work = False
        self.delay_s_seen = 0.0
        self.receive_delta: Callable[[int, Text], None] = sink.receive_delta
        self.delay_s: Callable[[int], float] = sink.delay_s
        self.trace_headers: Callable[[int], Mapping[str, str]] = sink.trace_headers

    @property
    def has_ended(self) -> bool:
        """Whether its stream is free again."""
        return self._keeper is None

    def receive(self, event: ev.Event) -> None:
        """See `LegSink.receive`."""
        kind = type(event)
        if kind is ev.TurnTranscribed:
            self._turn_ended()
        elif kind is ev.LegFailed:
            assert isinstance(event, ev.LegFailed)
            # One that was only old says nothing about its server.
            self.end(None if event.error.detail == RETIRED else event.error)
        self.sink.receive(event)

    def begin_turn(self) -> None:
        """A turn begins on it."""
        if not self.is_at_work and self._keeper is not None:
            self.is_at_work = True
            self._keeper.turn_began(self)

    def end(self, error: ParleyError | None = None) -> None:
        """The leg has ended."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.leg_ended(self, error)

    def refuse(self, error: ParleyError) -> None:
        """The leg could not be opened."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.leg_refused(self, error)

    def _turn_ended(self) -> None:
        if self.is_at_work and self._keeper is not None:
            self.is_at_work = False
            self._keeper.turn_ended(self)


class PooledLeg:
    """A leg on the member of this name, that gives its stream back when it is closed."""

    __slots__ = ("_connection", "_watch", "end_turn", "round_trip_s", "send_audio", "server_name")

    def __init__(self, connection: LegConnection, watch: LegWatch, server_name: str) -> None:
        self.server_name = server_name
        self._connection = connection
        self._watch = watch
        self.send_audio: Callable[[Audio], None] = connection.send_audio
        self.end_turn: Callable[[], None] = connection.end_turn
        self.round_trip_s: Callable[[], float | None] = connection.round_trip_s

    def start_turn(self) -> None:
        """See `LegConnection.start_turn`."""
        self._watch.begin_turn()
        self._connection.start_turn()

    def close(self) -> None:
        """See `LegConnection.close`."""
        self._watch.end()
        self._connection.close()
