"""The client side: a realtime session, captions, and pacing."""

from parley.client.connection import ConnectionLimits
from parley.client.events import Event, SessionCreated, TextDelta, TurnDone
from parley.client.failure import SessionFailed
from parley.client.session import RealtimeSession, connect
from parley.core.usage import Usage

__all__ = [
    "ConnectionLimits",
    "Event",
    "RealtimeSession",
    "SessionCreated",
    "SessionFailed",
    "TextDelta",
    "TurnDone",
    "Usage",
    "connect",
]
