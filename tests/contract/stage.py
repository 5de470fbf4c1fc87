"""What a test has to work with: a transport, a server of its own settings, and a model server's double."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tests.contract.participant import Participant, Plain
from tests.contract.server import ContractServer
from tests.contract.wires import Ending, Event, Transport, Wire
from tests.support.fake_vllm import MODEL, FakeConnection, FakeVllm
from tests.support.sound import SAMPLE_RATE
from tests.support.voxtral import transcript

Values = Mapping[str, Any]


def steady(_turn: int, step: int) -> str:
    """A word every 400 ms, the same again whenever the same audio is heard from the beginning of its turn."""
    return f" w{step}" if step % 5 == 0 else ""


def text_of(seconds: float) -> str:
    """What `steady` says to so much audio."""
    return transcript(int(seconds * SAMPLE_RATE), speech=steady)


class Stage:
    """Connections over one transport to one server, which is started by `serve`, or by whoever connects first."""

    def __init__(self, transport: Transport, vllm: FakeVllm) -> None:
        self.transport = transport
        self.vllm = vllm
        vllm.speech = steady
        self._server: ContractServer | None = None

    @property
    def server(self) -> ContractServer:
        assert self._server is not None, "it has been started"
        return self._server

    async def serve(self, **sections: Values) -> None:
        """Start a server with these settings. Without a URL in them it is in front of `vllm`."""
        assert self._server is None, "one server for each test"
        url = "" if "urls" in sections.get("upstream", {}) else self.vllm.url
        self._server = ContractServer(url, **sections)
        await self._server.start()

    async def connect(self, *, comes_back: bool = False, credentials: str = "", over: Transport | None = None) -> Wire:
        """A connection on which nothing was read yet."""
        if self._server is None:
            await self.serve()
        return await (over or self.transport).connect(self.server, comes_back=comes_back, credentials=credentials)

    async def opted_in(self, *, credentials: str = "") -> Participant:
        """A client whose token has come."""
        wire = await self.connect(credentials=credentials)
        created = await wire.expect("session.created")
        await wire.send("session.update", model=MODEL, parley={"resume": True})
        updated = await wire.expect("session.updated", id=created["id"])
        return Participant(wire, updated["id"], updated["resume"]["token"], updated["resume"]["window_s"])

    async def plain(self) -> Plain:
        """A client that has named the model and nothing else."""
        wire = await self.connect()
        await wire.expect("session.created")
        await wire.send("session.update", model=MODEL)
        return Plain(wire)

    async def bring_back(
        self, client: Participant, *, seq: int | None = None, over: Transport | None = None, credentials: str = ""
    ) -> Event:
        """A client comes back on another connection; what `session.resumed` says."""
        wire = await self.connect(comes_back=True, over=over, credentials=credentials)
        return await client.come_back(wire, seq)

    async def claim(self, token: str, seq: int = 0, *, credentials: str = "") -> Ending:
        """A connection that shows a token and has to be refused; what it was told."""
        wire = await self.connect(comes_back=True, credentials=credentials)
        await wire.expect("session.created")
        await wire.send("session.resume", token=token, seq=seq)
        return await wire.until_closed()

    async def leg(self, number: int = 0) -> FakeConnection:
        """A stream on the model server, as soon as it is there."""
        return await self.vllm.session(number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.close()
