"""vLLM's realtime protocol as a leg speaks it, whatever carries its messages."""

import asyncio
from abc import abstractmethod

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.upstream.leg import LegSink
from parley.wire import vllm

_ERROR_CODES = frozenset(
    {
        "invalid_audio",
        "invalid_event",
        "invalid_json",
        "model_not_found",
        "model_not_validated",
        "processing_error",
        "unknown_event",
    }
)


class VllmDialogue:
    """One leg's part of the conversation. `created` is done when vLLM has greeted, or fails with why it has not.

    A carrier derives from it, hands whole messages to `_take` and its own failures to `_fail`, and implements `_send`.
    """

    server_name = ""
    """See `LegConnection.server_name`: its pool knows."""

    def __init__(self, leg_id: int, sink: LegSink) -> None:
        self.id = leg_id
        self.created: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The opener may be gone by the time that it fails.
        self.created.add_done_callback(lambda created: created.cancelled() or created.exception())
        self._sink: LegSink | None = sink

    # ---- from the model server

    def _take(self, message: bytes) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            value = vllm.parse_server(message)
        except ParleyError as error:
            self._fail(error)
            return
        if type(value) is Text:
            sink.receive_delta(self.id, value)
        elif isinstance(value, vllm.Done):
            self._done(value, sink)
        elif isinstance(value, vllm.Created):
            if not self.created.done():
                self.created.set_result(None)
        elif isinstance(value, vllm.Failed):
            # Only a code that is known: the rest is the model server's own text and may quote what was said.
            code = value.code if value.code in _ERROR_CODES else "none of vLLM's" if value.code else "not given"
            self._fail(ParleyError("upstream-error", f"Its code is {code}."))

    def _done(self, done: vllm.Done, sink: LegSink) -> None:
        sink.receive(ev.TurnTranscribed(self.id, done.text, done.usage))

    def _blocked(self) -> None:
        if self._sink is not None:
            self._sink.receive(ev.LegBlocked(self.id))

    def _unblocked(self) -> None:
        if self._sink is not None:
            self._sink.receive(ev.LegUnblocked(self.id))

    def _fail(self, error: ParleyError) -> None:
        if not self.created.done():
            self.created.set_exception(error)
        elif self._sink is not None:
            self._sink.receive(ev.LegFailed(self.id, error))

    # ---- from the session

    def name_model(self, model: str) -> None:
        """`session.update`. vLLM answers nothing to it unless the name is unknown."""
        self._send(vllm.encode_session_update(model))

    def start_turn(self) -> None:
        """`commit`."""
        self._send(vllm.COMMIT_START)

    def send_audio(self, audio: Audio) -> None:
        """`append`."""
        self._send(vllm.encode_append(audio))

    def round_trip_s(self) -> float | None:
        """See `LegConnection.round_trip_s`: not every connection can be asked."""
        return None

    def end_turn(self) -> None:
        """`commit` with `final`."""
        self._send(vllm.COMMIT_FINAL)

    @abstractmethod
    def _send(self, message: bytes) -> None:
        """Carry a text message to the model server; nothing once it is gone."""
