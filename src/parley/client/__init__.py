"""The client side: a realtime session that outlives its connection, captions, and pacing."""

from parley.client.connection import ConnectionLimits
from parley.client.events import (
    ConnectionLost,
    Event,
    Expiring,
    Gap,
    GoingAway,
    InputCleared,
    Lagging,
    Queued,
    Recovered,
    Recovering,
    SessionCreated,
    SessionEnded,
    SessionResumed,
    TextDelta,
    TextRevised,
    TurnCancelled,
    TurnDone,
    TurnFailed,
)
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.client.session import RealtimeSession, connect
from parley.client.transcript import Transcript
from parley.core.limits import AtBound
from parley.core.usage import Usage

__all__ = [
    "AtBound",
    "ClientLimits",
    "ConnectionLimits",
    "ConnectionLost",
    "Event",
    "Expiring",
    "Gap",
    "GoingAway",
    "InputCleared",
    "Lagging",
    "Queued",
    "RealtimeSession",
    "Recovered",
    "Recovering",
    "SessionCreated",
    "SessionEnded",
    "SessionFailed",
    "SessionResumed",
    "TextDelta",
    "TextRevised",
    "Transcript",
    "TurnCancelled",
    "TurnDone",
    "TurnFailed",
    "Usage",
    "connect",
]
