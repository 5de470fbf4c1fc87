"""A client of the gateway that opts in to the session contract, and comes back."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.client import Client, Ending, Event
from tests.support.fake_vllm import MODEL
from tests.support.gateway import RunningGateway

REALTIME = "/v1/realtime"
SAGEMAKER = "/invocations-bidirectional-stream"
STATES = {"session.queued", "session.lagging", "session.expiring", "session.going_away"}
UNNUMBERED = {"session.created", "session.updated", "session.resumed", "session.ack", *STATES}


@dataclass
class Returner:
    """One session over several connections. It keeps what a client has to keep: the token, and what it has seen."""

    client: Client
    token: str
    window_s: float
    seen: list[Event] = field(default_factory=list)
    input_seq: int = 0
    cursor_ms: int = 0

    @property
    def seq(self) -> int:
        return int(self.seen[-1]["seq"]) if self.seen else 0

    @property
    def texts(self) -> list[str]:
        """The text of each turn that is done; its deltas have to add up to it."""
        done = [event for event in self.seen if event["type"] == "transcription.done"]
        for one in done:
            deltas = [
                event["delta"]
                for event in self.seen
                if event["type"] == "transcription.delta" and event["item_id"] == one["item_id"]
            ]
            assert "".join(deltas) == one["text"]
        return [one["text"] for one in done]

    async def event(self) -> Event:
        """The next numbered event, which has to follow the one before; acknowledgements are noted on the way."""
        while True:
            event = await self.client.receive()
            if event["type"] not in UNNUMBERED:
                assert event["seq"] == self.seq + 1, event
                self.seen.append(event)
                return event
            if event["type"] == "session.ack":
                self.input_seq, self.cursor_ms = event["input_seq"], event["cursor_ms"]

    async def until(self, kind: str) -> Event:
        """The next event of this kind."""
        while (event := await self.event())["type"] != kind:
            assert event["type"] != "error", event
        return event

    async def until_acked(self, input_seq: int) -> None:
        """Wait until so much input is safe."""
        while self.input_seq < input_seq:
            event = await self.client.receive()
            if event["type"] == "session.ack":
                self.input_seq, self.cursor_ms = event["input_seq"], event["cursor_ms"]
            else:
                assert event["seq"] == self.seq + 1, event
                self.seen.append(event)

    async def until_closed(self) -> Ending:
        """The rest, numbered on, and how it ended."""
        ending = await self.client.until_closed()
        for event in ending.events:
            if event["type"] not in UNNUMBERED:
                assert event["seq"] == self.seq + 1, event
                self.seen.append(event)
        return ending

    async def come_back(self, gateway: RunningGateway, path: str = f"{REALTIME}?resume=1", **options: Any) -> Event:
        """Another connection takes the session up; what `session.resumed` says."""
        self.client = await gateway.connect(path, **options)
        await self.client.send("session.resume", token=self.token, seq=self.seq)
        resumed = await self.client.receive()
        assert resumed["type"] == "session.resumed", resumed
        self.input_seq, self.cursor_ms = resumed["input_seq"], resumed["cursor_ms"]
        return resumed


async def opted_in(gateway: RunningGateway, path: str = REALTIME, **options: Any) -> Returner:
    """A session whose token has come."""
    client = await gateway.connect(path, **options)
    await client.send("session.update", model=MODEL, parley={"resume": True})
    updated = await client.receive()
    assert updated["type"] == "session.updated", updated
    assert updated["id"] == client.session_id
    return Returner(client, updated["resume"]["token"], updated["resume"]["window_s"])


async def claim(gateway: RunningGateway, token: str, seq: int = 0, **options: Any) -> Ending:
    """A connection that shows a token and has to be refused; how it ended."""
    client = await gateway.connect(f"{REALTIME}?resume=1", **options)
    await client.send("session.resume", token=token, seq=seq)
    return await client.until_closed()
