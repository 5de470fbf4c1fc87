"""A vLLM server behind a SageMaker endpoint as an upstream: one bidirectional stream for each leg.

SageMaker cuts every stream after 1,800 s, so no leg may become that old with a turn on it. One that is older than
`leg_age_max_s` (480 s) with no turn on it is reported failed, and the session opens another with its next turn: nothing
is lost with a leg between turns. So a turn begins on a leg of 480 s at most, and within the turn the session replaces
the leg by rotation after `session.rotate_force_s` (1,200 s) of audio at the latest: 1,680 s together. Audio that comes
more slowly than it is spoken is beyond that sum: the leg is then cut within its turn, and the turn is replayed.
"""

import asyncio
from typing import TYPE_CHECKING

from parley.aws.address import EndpointAddress
from parley.aws.failure import AwsError
from parley.core.errors import ParleyError
from parley.upstream.dialogue import VllmDialogue
from parley.upstream.leg import LegSink
from parley.wire import vllm

if TYPE_CHECKING:
    from parley.aws.client import AwsClient
    from parley.aws.stream import AwsStream, StreamEnd

LEG_AGE_MAX_S = 480.0

_QUERY = "empty_deltas=true"
"""A container that is Parley keeps deltas without text to itself unless asked, and they are the clock of a leg. vLLM's
own route does not read its query."""

RETIRED = "The stream was replaced before SageMaker's limit."
"""Detail of the error of a leg that was only old."""

_NO_ROOM = (429, 503)
"""A container's HTTP statuses that say that it takes no further stream."""


class SageMakerLeg(VllmDialogue):
    """One stream to a container that speaks vLLM's protocol."""

    def __init__(self, leg_id: int, sink: LegSink, leg_age_max_s: float) -> None:
        super().__init__(leg_id, sink)
        self._stream: AwsStream | None = None
        self._leg_age_max_s = leg_age_max_s
        self._has_turn = False
        self._is_old = False
        self._ageing: asyncio.TimerHandle | None = None

    def begin(self, stream: "AwsStream") -> None:
        """This is its stream."""
        self._stream = stream
        self._ageing = asyncio.get_running_loop().call_later(self._leg_age_max_s, self._aged)

    # ---- from the stream

    def message_received(self, message: bytes, *, is_text: bool) -> None:
        """See `StreamSink.message_received`."""
        if is_text:
            self._take(message)
        elif self._sink is not None:
            self._fail(ParleyError("upstream-protocol", "It sent a binary frame."))

    def writing_blocked(self) -> None:
        """See `StreamSink.writing_blocked`."""
        self._blocked()

    def writing_unblocked(self) -> None:
        """See `StreamSink.writing_unblocked`."""
        self._unblocked()

    def stream_ended(self, end: "StreamEnd") -> None:
        """See `StreamSink.stream_ended`: never a clean end of a turn."""
        why = "no error" if end.error is None else end.error.code
        self._fail(ParleyError("upstream-closed", f"The stream through SageMaker ended with {why}."))

    def _done(self, done: vllm.Done, sink: LegSink) -> None:
        self._has_turn = False
        super()._done(done, sink)
        if self._is_old:
            # Later, as the session may begin its next turn before this returns.
            asyncio.get_running_loop().call_soon(self._retire)

    def _aged(self) -> None:
        self._is_old = True
        self._retire()

    def _retire(self) -> None:
        if not self._has_turn:
            self._fail(ParleyError("upstream-closed", RETIRED))

    # ---- from the session

    def start_turn(self) -> None:
        """`commit`."""
        self._has_turn = True
        super().start_turn()

    def close(self) -> None:
        """Reset the stream: SageMaker closes the container's WebSocket then, and vLLM aborts the request with it."""
        self._sink = None
        if self._ageing is not None:
            self._ageing.cancel()
        if self._stream is not None:
            self._stream.drop()
            self._stream = None

    def _send(self, message: bytes) -> None:
        if self._stream is not None:
            self._stream.send(message)


class SageMakerUpstream:
    """A SageMaker endpoint. `model` is asked at each leg; empty for whichever the container serves."""

    def __init__(
        self,
        client: "AwsClient",
        address: EndpointAddress,
        *,
        connect_timeout_s: float = 5.0,
        leg_age_max_s: float = LEG_AGE_MAX_S,
    ) -> None:
        self._client = client
        self._address = address
        self._connect_timeout_s = connect_timeout_s
        self._leg_age_max_s = leg_age_max_s
        self.model = ""

    async def open_leg(self, leg_id: int, sink: LegSink) -> SageMakerLeg:
        """See `Upstream.open_leg`."""
        leg = SageMakerLeg(leg_id, sink, self._leg_age_max_s)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                stream = await self._client.open(
                    self._address,
                    leg,
                    query=_QUERY,
                    timeout_s=self._connect_timeout_s,
                    # SageMaker does not pass them on to its container; an endpoint that is Parley's reads them.
                    headers=sink.trace_headers(leg_id),
                )
                leg.begin(stream)
                await leg.created
        except TimeoutError:
            leg.close()
            detail = f"It did not answer within {self._connect_timeout_s:g} s."
            raise ParleyError("upstream-unavailable", detail) from None
        except AwsError as error:
            raise _opening_error(error) from None
        except BaseException:
            leg.close()
            raise
        leg.name_model(self.model)
        return leg


def _opening_error(error: AwsError) -> ParleyError:
    if error.code == "at-capacity" or error.original_status in _NO_ROOM:
        retry_after_s = 2.0 if error.retry_after_s is None else error.retry_after_s
        return ParleyError("at-capacity", "The endpoint takes no further stream.", retry_after_s=retry_after_s)
    # Texts of others stay out of the session's log; the status and the code say what to look for.
    detail = f"SageMaker: {error.code if error.is_foreign_text else error}".rstrip(".")
    if error.original_status:
        detail += f"; the container answered with HTTP {error.original_status}"
    return ParleyError("upstream-unavailable", f"{detail}.")
