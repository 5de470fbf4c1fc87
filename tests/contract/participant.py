"""A client that keeps the contract's rules, and fails where the server does not keep its own."""

from dataclasses import dataclass, field
from typing import Any

from tests.contract.wires import Ending, Event, Wire, WireClosedError
from tests.support.sound import PIECE_BYTES, encoded, pieces

STATES = {"session.queued", "session.lagging", "session.expiring", "session.going_away"}
UNNUMBERED = {"session.created", "session.updated", "session.resumed", "session.ack"} | STATES
UNCOUNTED = {"session.ack", "session.resume"}


class Speaker:
    """What clients say on a wire, whether they opted in or not."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def send(self, kind: str, **fields: object) -> None:
        await self.wire.send(kind, **fields)

    async def start(self) -> None:
        await self.send("input_audio_buffer.commit")

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=encoded(audio))

    async def say(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        """Audio at full speed."""
        for piece in pieces(audio, piece_bytes):
            await self.append(piece)

    async def finish(self) -> None:
        await self.send("input_audio_buffer.commit", final=True)

    async def turn(self, audio: bytes) -> None:
        """A whole turn."""
        await self.start()
        await self.say(audio)
        await self.finish()


class Plain(Speaker):
    """A client that has not opted in. `seen` is all it got after the greeting."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.seen: list[Event] = []

    async def until(self, kind: str) -> Event:
        """The next event of this kind."""
        while (event := await self.event())["type"] != kind:
            pass
        return event

    async def event(self) -> Event:
        event = await self.wire.receive()
        self.seen.append(event)
        return event

    @property
    def deltas(self) -> str:
        """All pieces of text that came."""
        return "".join(event["delta"] for event in self.seen if event["type"] == "transcription.delta")


@dataclass
class Item:
    """A turn as its client knows it: the text so far, with revisions, and how it ended."""

    text: str = ""
    pieces: str = ""
    ends: list[Event] = field(default_factory=list)


class Participant(Speaker):
    """A client that opted in. It numbers what it sends and checks the numbers of what it gets.

    `seen` holds the numbered events, `acks` the server's acknowledgements on the connection of the day, and `states`
    what else was said of where the session stands.
    """

    def __init__(self, wire: Wire, session_id: str, token: str, window_s: float) -> None:
        super().__init__(wire)
        self.session_id = session_id
        self.token = token
        self.window_s = window_s
        self.seen: list[Event] = []
        self.acks: list[Event] = []
        self.states: list[Event] = []
        self.sent: list[dict[str, Any]] = []
        self.items: dict[str, Item] = {}
        self.input_seq = 0
        self.cursor_ms = 0

    @property
    def seq(self) -> int:
        return int(self.seen[-1]["seq"]) if self.seen else 0

    @property
    def kinds(self) -> list[str]:
        """What came, deltas left out."""
        return [event["type"] for event in self.seen if event["type"] != "transcription.delta"]

    # ---- out

    async def send(self, kind: str, **fields: object) -> None:
        if kind not in UNCOUNTED:
            self.sent.append({"type": kind, **fields})
        await super().send(kind, **fields)

    def lose(self, kind: str, **fields: object) -> None:
        """A message that the client believes it sent, and that never arrived."""
        self.sent.append({"type": kind, **fields})

    async def acknowledge(self) -> None:
        await self.wire.send("session.ack", seq=self.seq)

    async def repeat(self) -> None:
        """Send again what the server has not taken."""
        for message in self.sent[self.input_seq :]:
            fields = dict(message)
            await self.wire.send(fields.pop("type"), **fields)

    # ---- in

    async def event(self) -> Event:
        """The next numbered event. Its number follows; its item's text stays what the events make of it."""
        while True:
            event = await self.wire.receive()
            if event["type"] in UNNUMBERED:
                self._note(event)
            else:
                self._take(event)
                return event

    async def expect(self, kind: str, **fields: object) -> Event:
        """The next numbered event, which has to be of this kind with these fields."""
        event = await self.event()
        assert {"type": event["type"], **{name: event.get(name) for name in fields}} == {"type": kind, **fields}, event
        return event

    async def until(self, kind: str, **fields: object) -> Event:
        """The next event of this kind and these fields."""
        while True:
            event = await self.event()
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event
            assert event["type"] != "session.ended", event

    async def until_acked(self, input_seq: int | None = None) -> None:
        """Wait until so much input is safe; None: all that was sent."""
        wanted = len(self.sent) if input_seq is None else input_seq
        while self.input_seq < wanted:
            event = await self.wire.receive()
            if event["type"] in UNNUMBERED:
                self._note(event)
            else:
                self._take(event)

    async def state(self) -> Event:
        """The next that is said of where the session stands, acknowledgements aside."""
        count = len(self.states)
        while len(self.states) == count:
            event = await self.wire.receive()
            if event["type"] in UNNUMBERED:
                self._note(event)
            else:
                self._take(event)
        return self.states[-1]

    async def settled(self) -> None:
        """All that was sent has been taken, and its immediate answers have come: an error answers the last message."""
        await self.send("input_audio_buffer.append", audio="")
        await self.until("error")
        await self.until_acked()

    async def until_closed(self) -> Ending:
        """The rest, and how the connection ended."""
        events: list[Event] = []
        try:
            while True:
                events.append(await self.event())
        except WireClosedError as closed:
            return Ending(events, closed.code, closed.reason)

    async def until_let_go(self) -> Ending:
        """The rest of what this connection brings, whose last word has no number: the session goes on elsewhere."""
        ending = await self.wire.until_closed()
        for event in ending.events[:-1]:
            if event["type"] in UNNUMBERED:
                self._note(event)
            else:
                self._take(event)
        assert "seq" not in ending.events[-1]
        return ending

    def _note(self, event: Event) -> None:
        assert "seq" not in event, event
        if event["type"] in STATES:
            self.states.append(event)
            return
        assert event["type"] == "session.ack", f"not asked for: {event}"
        self.acks.append(event)
        self.input_seq, self.cursor_ms = event["input_seq"], event["cursor_ms"]
        assert self.input_seq <= len(self.sent), "no more is acknowledged than was sent"

    def _take(self, event: Event) -> None:
        assert event["seq"] == self.seq + 1, event
        self.seen.append(event)
        if "item_id" not in event:
            return
        item = self.items.setdefault(event["item_id"], Item())
        match event["type"]:
            case "transcription.delta":
                item.text += event["delta"]
                item.pieces += event["delta"]
            case "transcription.revised":
                assert 0 <= event["start"] <= event["end"] <= len(item.text), event
                item.text = item.text[: event["start"]] + event["text"] + item.text[event["end"] :]
            case "transcription.done":
                assert event["text"] == item.text, "the final text is what the events made of it"
                item.ends.append(event)
            case "transcription.failed" | "transcription.cancelled":
                item.ends.append(event)

    # ---- back again

    async def come_back(self, wire: Wire, seq: int | None = None) -> Event:
        """Take the session up on another connection, having the events up to `seq`; what `session.resumed` says."""
        self.wire = wire
        if seq is not None:
            self.seen = self.seen[:seq]
            self.items = {}
            kept, self.seen = self.seen, []
            for event in kept:
                self._take(event)
        self.acks = []
        await wire.expect("session.created")
        await wire.send("session.resume", token=self.token, seq=self.seq)
        resumed = await wire.expect("session.resumed", id=self.session_id)
        assert "seq" not in resumed
        self.input_seq, self.cursor_ms = resumed["input_seq"], resumed["cursor_ms"]
        return resumed
