"""What a client says, as events of the session, and what the session says, as messages of the client's protocol."""

from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.wire import vllm


class Dialect(Protocol):
    """One client protocol. `receive` raises ParleyError for a message that is not of it."""

    def opening(self, session_id: str, created_s: int) -> bytes:
        """The message that the server speaks first; `created_s` is Unix time in seconds."""

    def receive(self, message: bytes) -> Audio | list[ev.Event]:
        """What the message means to the session: a piece of audio, nearly always, or events in order."""

    def delta(self, text: Text) -> bytes:
        """A piece of transcript."""

    def done(self, text: Text, usage: Usage) -> bytes:
        """The end of a turn."""

    def error(self, error: ParleyError) -> bytes:
        """An error."""


class VllmDialect:
    """vLLM's realtime protocol: `commit` starts a turn, `commit` with `final` ends it."""

    def opening(self, session_id: str, created_s: int) -> bytes:
        """`session.created`."""
        return vllm.encode_created(session_id, created_s)

    def receive(self, message: bytes) -> Audio | list[ev.Event]:
        """See `wire.vllm.parse_client`; audio longer than half a second is cut, so that it can be paced."""
        value = vllm.parse_client(message)
        if type(value) is Audio:
            if value.samples <= vllm.SPLIT_SAMPLES:
                return value
            return [ev.AudioReceived(piece) for piece in vllm.split(value)]
        if isinstance(value, vllm.SessionUpdate):
            return [ev.ModelNamed(value.model)]
        assert isinstance(value, vllm.Commit)
        return [ev.TurnEnded() if value.final else ev.TurnStarted()]

    delta = staticmethod(vllm.encode_delta)

    def done(self, text: Text, usage: Usage) -> bytes:
        """`transcription.done`."""
        return vllm.encode_done(text, usage)

    def error(self, error: ParleyError) -> bytes:
        """`error`, with Parley's own code and what may help under `parley`."""
        return vllm.encode_failure(error)
