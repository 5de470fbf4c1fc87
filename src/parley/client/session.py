"""A live session on a realtime server: audio in, text out, turn by turn, over one connection after another.

```
async with connect("ws://127.0.0.1:8080") as session:
    await session.start_turn()
    await session.send_audio(pcm16)          # as it comes in
    await session.end_turn()
    async for event in session:              # TextDelta, TextDelta, ..., TurnDone
```
The server may be Parley, whose sessions outlive a lost connection, or a stock vLLM, whose don't.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ssl import SSLContext

from parley.audio.pcm import split_pcm
from parley.aws.address import is_sagemaker
from parley.client.connection import Connection, ConnectionLimits
from parley.client.endpoint import check_url, realtime_url
from parley.client.events import Event
from parley.client.limits import ClientLimits
from parley.client.link import Dial, Link
from parley.client.resumption import ClientMachine
from parley.client.runner import Runner
from parley.client.sagemaker import SageMakerDialer, SageMakerOptions
from parley.core.errors import ParleyError
from parley.core.limits import AtBound
from parley.core.retention import Retention
from parley.wire import vllm

SEND_PIECE_MS = 100
"""Audio of the largest message that is sent."""


@asynccontextmanager
async def connect(
    url: str | Sequence[str],
    *,
    model: str = "",
    api_key: str | None = None,
    timestamps: bool = False,
    resume: bool = True,
    input_policy: AtBound | None = None,
    output_policy: AtBound | None = None,
    retention: Retention | None = None,
    consent: bool = False,
    answer_timeout_s: float = 60.0,
    limits: ConnectionLimits | None = None,
    session_limits: ClientLimits | None = None,
    ssl_context: SSLContext | None = None,
    sagemaker: SageMakerOptions | None = None,
) -> AsyncIterator["RealtimeSession"]:
    """A session on the server at `url` (`ws`, `wss`, `http` or `https`; the path defaults to `/v1/realtime`), or behind
    the SageMaker endpoint that `sagemaker://endpoint-name` names; `api_key` and `ssl_context` mean nothing to that one.

    Several URLs are tried in this order, each once, until one begins the session. When its connection is lost it is
    made again to the same one, then to the others in turn; when the session moves, to the next one at once.

    `model` is the name to ask for, empty for whichever is served. `timestamps` fills `TextDelta.audio_end_s`. With
    `resume` the session outlives its connection where the server offers it; see `RealtimeSession.can_resume`.
    `answer_timeout_s` is how long the server may be silent while the end of a turn is awaited. The policies say what
    the session is to do with more audio (`input_policy`) or results (`output_policy`) than may wait, if it can be
    resumed; None leaves it to the server. So does a `retention` of None, which is what the server is to keep of the
    session; audio takes the `consent` of whoever speaks.

    Raises:
        SessionFailed: the server can't be reached, or does not begin a session.
        ValueError: `url` is neither a URL of a WebSocket server nor one of a SageMaker endpoint, or there is none.
    """
    limits = limits or ConnectionLimits()
    bounds = replace(
        session_limits or ClientLimits(greeting_timeout_s=limits.connect_timeout_s), answer_timeout_s=answer_timeout_s
    )
    # Once, so that a wrong URL is refused before anything is begun.
    urls = (url,) if isinstance(url, str) else tuple(url)
    if not urls:
        raise ValueError("There is no URL to connect to.")
    for each in urls:
        check_url(each)

    def dialer_of(url: str) -> Dial:
        async def dial(*, resume: bool, changed: Callable[[], None]) -> Link:
            at = realtime_url(url, timestamps=timestamps, resume=resume)
            return await Connection.open(at, api_key=api_key, limits=limits, changed=changed, ssl_context=ssl_context)

        return dial

    machine = ClientMachine(
        model,
        resume=resume,
        limits=bounds,
        timestamps=timestamps,
        places=len(urls),
        input_policy=input_policy,
        output_policy=output_policy,
        retention=retention,
        consent=consent,
    )
    async with AsyncExitStack() as afterwards:
        dials: list[Dial] = []
        for each in urls:
            if is_sagemaker(each):
                dialer = SageMakerDialer(each, timestamps=timestamps, limits=limits, options=sagemaker)
                afterwards.push_async_callback(dialer.close)
                dials.append(dialer)
            else:
                dials.append(dialer_of(each))
        runner = Runner(machine, dials, limits)
        runner.start()
        try:
            await runner.greeted()
            yield RealtimeSession(machine, runner)
        finally:
            await runner.close()


class RealtimeSession:
    """One session. Iterate over it for its events, in one task; see the module's text for the order of calls.

    Turns follow each other: a turn may begin when the one before has ended, whether or not that is transcribed yet.
    What a server can't take yet is kept, and sent when it can; what would be too much to keep waits in the call.
    """

    def __init__(self, machine: ClientMachine, runner: Runner) -> None:
        self._machine = machine
        self._runner = runner

    @property
    def session_id(self) -> str:
        """What the server calls the session in its logs; another one when the session had to be started over."""
        return self._machine.session_id

    @property
    def can_resume(self) -> bool:
        """Whether the session outlives its connection.

        False with a server that is not Parley, or with `resume=False`: a connection lost within a turn is then a
        failure, and the turn's text is not complete.
        """
        return self._machine.can_resume

    async def start_turn(self) -> None:
        """Begin an utterance; waits while too many are not done.

        Raises:
            RuntimeError: a turn is open, or the session was closed.
            SessionFailed: the session is over.
        """
        await self._runner.until(lambda: self._machine.can_take_input and self._machine.can_start_turn)
        self._runner.perform(self._machine.start_turn())

    async def send_audio(self, pcm: bytes) -> None:
        """Send PCM16 little-endian, 16 kHz, mono; waits while the server takes no more, or is away for too long.

        Raises:
            RuntimeError: no turn is open, or the session was closed.
            ParleyError: invalid-audio, when it is an odd number of bytes.
            SessionFailed: the session is over.
        """
        if len(pcm) % 2:
            raise ParleyError("invalid-audio", f"It has {len(pcm)} bytes, an odd number.")
        for piece in split_pcm(pcm, SEND_PIECE_MS):
            await self._until_ready()
            self._runner.perform(self._machine.send_audio(vllm.encode_audio(piece)))
            # An open socket never makes the wait above suspend: without this, a long file would starve the reader.
            await asyncio.sleep(0)

    async def end_turn(self) -> None:
        """Say that the utterance is complete; its TurnDone follows.

        Raises:
            RuntimeError: no turn is open, or the session was closed.
            SessionFailed: the session is over.
        """
        await self._until_ready()
        self._runner.perform(self._machine.end_turn())

    async def clear(self) -> None:
        """Drop what was said in the open turn, which goes on; InputCleared follows if there was anything.

        Raises:
            RuntimeError: no turn is open, the session was closed, or not `can_resume`.
            SessionFailed: the session is over.
        """
        await self._until_ready()
        self._runner.perform(self._machine.clear())

    async def cancel(self, item: int = 0) -> None:
        """Give up the turn of this item, 0 for the oldest that is not done; an open one takes no more audio then.

        TurnCancelled follows, or the turn's own end where that was faster.

        Raises:
            RuntimeError: there is no such turn, the session was closed, or not `can_resume`.
            SessionFailed: the session is over.
        """
        await self._until_ready()
        self._runner.perform(self._machine.cancel(item))

    async def close(self) -> None:
        """End the session; turns that are not done are given up."""
        await self._runner.close()

    async def _until_ready(self) -> None:
        await self._runner.until(lambda: self._machine.can_take_input)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            SessionFailed: the server refused something (the session goes on unless `ends_session`), or the session is
                over: the server ended it, or its connection was lost and it could not be resumed.
            StopAsyncIteration: the session was closed, or a server that can't resume closed it between turns.
        """
        return await self._runner.next_event()
