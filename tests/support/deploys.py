"""What deploys and storms are played with: model servers that restart, and people who talk at the pace of speech."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from parley.client import SessionFailed, SessionResumed, TextDelta, TurnDone, connect
from parley.client.events import Event, Interruption, Queued, Recovered, TextRevised
from parley.client.pacing import RealTimePace
from parley.client.session import RealtimeSession
from parley.engine.options import EngineOptions
from parley.engine.server import serve_engine
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.sound import SAMPLE_RATE, pcm, pieces
from tests.support.waiting import Changes, bounded

PHRASE_S = 0.7
PAUSE_S = 0.8
"""Long enough for a pause, as the scripted engine counts it."""

_BYTES_PER_S = 2 * SAMPLE_RATE


def phrases(count: int, seed: int = 0) -> bytes:
    """Noise and digital silence in turns, 1.5 s for each phrase and its pause; another seed gives other noise."""
    return b"".join(pcm(PHRASE_S, 100 * seed + number) + bytes(int(PAUSE_S * _BYTES_PER_S)) for number in range(count))


class ScriptedServer:
    """The scripted engine, which says checksums of what it heard, on a port that it keeps when it is restarted."""

    def __init__(self) -> None:
        self.port = 0
        self._serving: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What a gateway calls it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"ws://{self.name}/v1/realtime"

    async def start(self) -> None:
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        options = EngineOptions(port=self.port, engine="scripted", max_sessions=64)
        self._serving = asyncio.create_task(serve_engine(options, ready.set_result))
        self.port = await bounded("the model server is ready", ready)

    async def stop(self) -> None:
        """As on SIGTERM: sessions that are still there are told."""
        if self._serving is not None:
            self._serving.cancel()
            await bounded("the model server ends", asyncio.gather(self._serving, return_exceptions=True))

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def undisturbed(self, audio: bytes) -> str:
        """What it says to a client of its own, with nothing between them."""
        client = await Client.connect(self.url)
        await client.name_model("")
        await client.send_turn(audio)
        text = await client.result()
        await client.close()
        return text

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Talker:
    """One session of Parley's own client, which resumes by itself: it says a turn, and keeps what it is told.

    `audio` is said at the pace of speech; `rest` follows once `go_on` was called, so that the turn is open for as long
    as a test needs it.
    """

    def __init__(self, audio: bytes, rest: bytes = b"") -> None:
        self.audio = audio
        self.rest = rest
        self.events: list[Event] = []
        self.failed: SessionFailed | None = None
        self._changes = Changes()
        self._may_go_on = asyncio.Event()

    # ---- what it was told

    @property
    def whole(self) -> bytes:
        """All that it says."""
        return self.audio + self.rest

    @property
    def text(self) -> str:
        """What came piece by piece; nothing of it may have been revised."""
        assert not any(isinstance(event, TextRevised) for event in self.events)
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def final(self) -> str:
        """What came in the end; empty when none came."""
        return "".join(event.text for event in self.events if isinstance(event, TurnDone))

    @property
    def interruptions(self) -> list[Interruption]:
        """All that is not text: notices, losses, and how they ended."""
        return [event for event in self.events if isinstance(event, Interruption)]

    @property
    def outcomes(self) -> list[str]:
        """How it went on after each loss."""
        return [str(event.outcome) for event in self.events if isinstance(event, SessionResumed | Recovered)]

    @property
    def positions(self) -> list[int]:
        """Its places in the queue."""
        return [event.position for event in self.events if isinstance(event, Queued)]

    async def until_position(self, position: int) -> None:
        """Wait until it was told that this is its place in the queue."""
        await self._changes.until(f"place {position} of the queue", lambda: position in self.positions)

    async def until_told(self, kind: type[Event], count: int = 1) -> None:
        """Wait until so many events of this kind have come; fails at once when the session has failed."""
        await self._changes.until(
            f"{count} {kind.__name__}",
            lambda: self.failed is not None or sum(isinstance(event, kind) for event in self.events) >= count,
        )
        assert self.failed is None, self.failed

    async def until_speaking(self) -> None:
        """Wait until the model has said something: its turn is under way."""
        await self.until_told(TextDelta)

    # ---- what it does

    def go_on(self) -> None:
        """Say the rest."""
        self._may_go_on.set()

    async def talk(self, url: str | Sequence[str]) -> None:
        """Say all of it at one of these URLs; returns when it is transcribed, or the session failed."""
        await bounded("a turn is said and transcribed", self._talk(url))

    async def _talk(self, url: str | Sequence[str]) -> None:
        try:
            async with connect(url) as session, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._say(session))
                async for event in session:
                    self.events.append(event)
                    self._changes.notify()
                    if isinstance(event, TurnDone):
                        break
        except* SessionFailed as group:
            failure = group.exceptions[0]
            assert isinstance(failure, SessionFailed), "so it was caught"
            self.failed = failure
            self._changes.notify()

    async def _say(self, session: RealtimeSession) -> None:
        await session.start_turn()
        await _say_paced(session, self.audio)
        if self.rest:
            await self._may_go_on.wait()
            await _say_paced(session, self.rest)
        await session.end_turn()


async def _say_paced(session: RealtimeSession, audio: bytes) -> None:
    pace, said = RealTimePace(), 0
    await pace.reach(0.0)
    for piece in pieces(audio):
        await session.send_audio(piece)
        said += len(piece)
        await pace.reach(said / _BYTES_PER_S)


async def assert_whole(talkers: Sequence[Talker], apart: ScriptedServer) -> None:
    """Each was told, piece by piece and in the end, what a model server says that nothing happens to."""
    assert [talker.failed for talker in talkers] == [None] * len(talkers)
    expected = [await apart.undisturbed(talker.whole) for talker in talkers]
    assert [talker.text for talker in talkers] == expected
    assert [talker.final for talker in talkers] == [text.strip() for text in expected]


class Operator:
    """Asks a gateway's admin API how its model servers and sessions are."""

    def __init__(self, port: int) -> None:
        self.api = AdminApi(port)

    async def upstream(self, name: str) -> dict[str, Any]:
        """One model server."""
        (found,) = [one for one in (await self.api.get("upstreams"))["upstreams"] if one["name"] == name]
        return dict(found)

    async def until_upstreams(self, state: str, *names: str) -> None:
        """Wait until these are all in this state."""

        async def are() -> bool:
            return all([(await self.upstream(name))["state"] == state for name in names])

        await eventually(f"model servers are {state}", are)

    async def until_streams(self, name: str, is_right: Callable[[int], bool]) -> None:
        """Wait until the number of streams on this one is right."""

        async def is_so() -> bool:
            return is_right((await self.upstream(name))["streams"])

        await eventually("a model server has as many streams as it should", is_so)

    async def until_node(self, state: str) -> None:
        """Wait until the node is in this state."""

        async def is_so() -> bool:
            return bool((await self.api.get("node"))["state"] == state)

        await eventually(f"the node is {state}", is_so)


@asynccontextmanager
async def operated(*servers: ScriptedServer | str, **sections: Any) -> AsyncIterator[tuple[RunningGateway, Operator]]:
    """A gateway in front of these model servers, or URLs, all of which it has found ready, and its operator."""
    port = free_port()
    urls = tuple(one if isinstance(one, str) else one.url for one in servers)
    upstream = {"urls": urls, **sections.pop("upstream", {})}
    gateway = RunningGateway(gateway_settings("", upstream=upstream, admin={"port": port}, **sections))
    operator = Operator(port)
    try:
        await gateway.start()
        await operator.until_upstreams("ready", *(urlsplit(url).netloc for url in urls))
        yield gateway, operator
    finally:
        await gateway.close()
