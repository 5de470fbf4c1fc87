"""What a client says, as events of the session, and what the session says, as messages of the client's protocol."""

from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.wire import serving, vllm
from parley.wire.serving import Resume as Resume

Received = Audio | list[ev.ClientEvent] | Resume
"""What a message means: a piece of audio, nearly always; events in order; or that the client came back for its session,
which is not the session's to answer but the connection's."""


class Dialect(Protocol):
    """One client protocol. `receive` raises ParleyError for a message that is not of it.

    A `seq` of 0 writes what a client gets that has not opted in to the session contract.
    """

    def opening(self, session_id: str, created_s: int, resume_window_s: float) -> bytes:
        """The message that the server speaks first; `created_s` is Unix time in seconds. A `resume_window_s` above 0
        offers the session contract."""

    def receive(self, message: bytes) -> Received:
        """What the message means."""

    def delta(self, text: Text, seq: int = 0, item: int = 0) -> bytes:
        """A piece of transcript."""

    def done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> bytes:
        """The end of a turn; `text_from` is where on the cursor, in samples, `text` begins when it is not whole."""

    def error(self, error: ParleyError, seq: int = 0) -> bytes:
        """An error."""

    def notice(self, notice: Notice, seq: int, session_id: str) -> bytes:
        """What became of the session or of a turn."""

    def updated(self, session_id: str, token: str, window_s: float, retention: str = "") -> bytes:
        """The client's opt-in is taken; `token` takes the session up again for `window_s`. `retention` is what is kept
        of the session, empty where nothing is said of it."""

    def ended(self, error: ParleyError | None, seq: int) -> bytes:
        """The session has ended, because of this error or because the client said so."""


class VllmDialect:
    """vLLM's realtime protocol, in which `commit` starts a turn and `commit` with `final` ends it, and the session
    contract for clients that opt in to it."""

    def receive(self, message: bytes) -> Received:
        """See `wire.vllm` and `wire.serving`; audio longer than half a second is cut, so that it can be paced."""
        audio = vllm.audio_of(message)
        if audio is not None and audio.samples <= vllm.SPLIT_SAMPLES:
            return audio
        value = audio or serving.parse_client(message)
        match value:
            case Audio():
                return _split(value) if value.samples > vllm.SPLIT_SAMPLES else value
            case vllm.Commit(final):
                return [ev.TurnEnded() if final else ev.TurnStarted()]
            case serving.Update():
                return _update(value)
            case serving.Ack(seq):
                return [ev.OutputAcked(seq)]
            case serving.End():
                return [ev.SessionClosed()]
            case serving.Clear():
                return [ev.InputCleared()]
            case serving.Cancel(item):
                return [ev.TurnCancelled(item)]
            case _:
                assert isinstance(value, Resume)
                return value

    opening = staticmethod(serving.encode_created)
    updated = staticmethod(serving.encode_updated)
    delta = staticmethod(serving.encode_delta)
    done = staticmethod(serving.encode_done)
    error = staticmethod(serving.encode_failure)
    notice = staticmethod(serving.encode_notice)
    ended = staticmethod(serving.encode_ended)


def _update(update: serving.Update) -> list[ev.ClientEvent]:
    """The message in the order in which it counts: its opt-in begins the count anew."""
    events: list[ev.ClientEvent] = [ev.ModelNamed(update.model)]
    if update.retention is not None or update.consent:
        # The answer to the opt-in says what is in force.
        events.append(ev.RetentionChosen(update.retention, update.consent))
    if update.resume:
        events.append(ev.ResumeEnabled())
    if update.input_policy or update.output_policy:
        events.append(ev.PoliciesChosen(update.input_policy, update.output_policy))
    return events


def _split(audio: Audio) -> list[ev.ClientEvent]:
    """The audio in pieces, the last one counting for the message that it came as."""
    pieces = vllm.split(audio)
    last = len(pieces) - 1
    return [ev.AudioReceived(piece, messages=int(index == last)) for index, piece in enumerate(pieces)]
