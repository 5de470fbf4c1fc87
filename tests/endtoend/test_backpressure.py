"""A model that stalls and a client that does not read: what each policy does, and that nothing grows."""

from typing import Any

import pytest

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.limits import SessionLimits
from parley.core.outlet import output_limit_bytes
from parley.core.session import Session
from parley.core.transcript import RECENT_MAX_BYTES
from parley.server import host
from tests.support.client import code_of
from tests.support.fake_vllm import MODEL, FakeConnection, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.raw import CLOSE, RawSocket, text_frame
from tests.support.resuming import Returner, opted_in
from tests.support.sound import encoded, pcm, pieces
from tests.support.waiting import Changes

PIECE_MS = 100
READ_BYTES = 262_144
"""What a connection brings at once: all of it is taken before the client is not read any further."""
SLACK_BYTES = READ_BYTES + 16_384
"""And a message more of each other kind."""
SOME_TEXT = "x" * 1_000
# Small, so that a client that does not read is felt after kilobytes instead of megabytes.
SMALL = {"write_buffer_max_bytes": 1_024}


class Watch:
    """The sessions of a gateway, as they count themselves."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.most_bytes = 0
        self.changes = Changes()

    @property
    def session(self) -> Session:
        """The only one."""
        (session,) = self.sessions
        return session

    def note(self, session: Session) -> None:
        """Something happened to a session."""
        session.check()
        self.most_bytes = max(self.most_bytes, session.held_bytes)
        self.changes.notify()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Every session is checked and measured after every event."""
    watch = Watch()

    class Watched(Session):
        def __init__(self, *values: Any, **named: Any) -> None:
            super().__init__(*values, **named)
            watch.sessions.append(self)

        def handle(self, event: ev.Event, now: float) -> list[ef.Effect]:
            effects = super().handle(event, now)
            watch.note(self)
            return effects

        def handle_client(self, event: ev.ClientEvent, generation: int, now: float) -> list[ef.Effect]:
            effects = super().handle_client(event, generation, now)
            watch.note(self)
            return effects

    monkeypatch.setattr(host, "Session", Watched)
    return watch


def bound_bytes(**limits: Any) -> int:
    """The most that a session of these limits holds."""
    made = SessionLimits(**limits)
    audio = made.held_bytes_max + made.journal_bytes_max
    texts = made.turn_text_max_bytes + RECENT_MAX_BYTES + made.ledger_max_bytes + output_limit_bytes(made)
    return audio + texts + SLACK_BYTES


# ---- a model that stalls

HELD: dict[str, Any] = {"held_audio_max_s": 2.0, "journal_max_s": 5.0, "pace_window_s": 1.0}


async def stalled(gateway: RunningGateway, vllm: FakeVllm) -> tuple[Returner, FakeConnection]:
    """A session whose model takes its audio and says nothing."""
    vllm.speech = lambda _turn, step: f" {step}"
    returner = await opted_in(gateway)
    await returner.client.start()
    leg = await vllm.session()
    leg.hold_model()
    return returner, leg


async def test_a_client_of_a_stalled_model_is_not_read_any_further_and_loses_nothing(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(session=HELD)
    returner, leg = await stalled(gateway, vllm)
    sound = pcm(20.0)
    await returner.client.say(sound)
    await returner.client.finish()
    tally = watch.session.tally
    await watch.changes.until("the bound is reached", lambda: tally.held_samples_most > 2 * 16_000)
    leg.release_model()
    await returner.until("transcription.done")
    assert leg.turns[0] == sound
    assert tally.held_bytes_most <= SessionLimits(**HELD).held_bytes_max + READ_BYTES
    assert watch.most_bytes <= bound_bytes(**HELD)


async def test_the_oldest_audio_for_a_stalled_model_is_dropped_and_told_where_that_is_the_policy(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(session={**HELD, "input_policy": "drop-oldest"})
    returner, leg = await stalled(gateway, vllm)
    sound = pcm(20.0)
    await returner.client.say(sound)
    await returner.client.finish()
    await returner.until_acked(2 + len(list(pieces(sound))))
    leg.release_model()
    await returner.until("transcription.done")
    gaps = [event for event in returner.seen if event["type"] == "session.gap"]
    assert {event["reason"] for event in gaps} == {"input-overrun"}
    dropped = {ms for event in gaps for ms in range(event["from_ms"], event["to_ms"], PIECE_MS)}
    assert leg.turns[0] == b"".join(
        piece for number, piece in enumerate(pieces(sound)) if number * PIECE_MS not in dropped
    )
    assert len(dropped) * 1_600 == watch.session.tally.dropped_samples > 10 * 16_000
    assert all(event["to_ms"] - event["from_ms"] >= 1_000 for event in gaps), "not word by word"
    assert watch.most_bytes <= bound_bytes(**HELD)


async def test_a_session_with_a_stalled_model_ends_where_that_is_the_policy(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(session={**HELD, "input_policy": "terminate"})
    returner, _leg = await stalled(gateway, vllm)
    await returner.client.say_until_closed(pcm(20.0))
    ending = await returner.until_closed()
    assert [code_of(event) for event in ending.events if event["type"] == "error"] == ["input-overrun"]
    assert watch.most_bytes <= bound_bytes(**HELD)


# ---- a client that does not read

OUTPUT: dict[str, Any] = {
    **HELD,
    "output_max_bytes": 65_536,
    "ledger_max_bytes": 65_536,
    "turn_text_max_bytes": 65_536,
}


async def deaf(gateway: RunningGateway, vllm: FakeVllm) -> tuple[RawSocket, FakeConnection]:
    """A session in a turn, whose client opted in, has a small receive buffer and reads nothing from now on."""
    socket = await gateway.raw(receive_buffer_bytes=4_096)
    await socket.upgrade()
    socket.send(text_frame("session.update", model=MODEL, parley={"resume": True}))
    socket.send(text_frame("input_audio_buffer.commit"))
    socket.send(text_frame("input_audio_buffer.append", audio=encoded(pcm(0.1))))
    leg = await vllm.session()
    leg.hold_model()
    await leg.until_samples(1_600)
    return socket, leg


async def talk(leg: FakeConnection, count: int) -> None:
    """The model talks on, no faster than the gateway takes it."""
    for number in range(count):
        leg.send_event("transcription.delta", delta=SOME_TEXT)
        if number % 50 == 49:
            await leg.until_read()
    await leg.until_read()


async def results(socket: RawSocket, until: str) -> list[dict[str, Any]]:
    """What the client reads after all, up to an event of this kind."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != until:
        received = await socket.frame()
        assert received.opcode != CLOSE, events[-1:]
        events.append(received.event)
    return events


async def test_the_oldest_text_for_a_client_that_does_not_read_is_dropped_and_told_where_that_is_the_policy(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(server=SMALL, session={**OUTPUT, "output_policy": "drop-oldest"})
    socket, leg = await deaf(gateway, vllm)
    # More than the kernels hold between them.
    await talk(leg, 9_000)
    tally = watch.session.tally
    assert tally.dropped_deltas > 0
    assert tally.coalesced_deltas > 0
    assert watch.most_bytes <= bound_bytes(**OUTPUT)
    events = [*await results(socket, "session.gap")]
    assert (events[-1]["reason"], "from_ms" in events[-1]) == ("slow-client", True)
    numbers = [event["seq"] for event in events if "seq" in event]
    assert numbers == list(range(1, len(numbers) + 1))
    socket.abort()


async def test_the_model_of_a_client_that_does_not_read_waits_where_that_is_the_policy(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(server=SMALL, session={**OUTPUT, "output_policy": "block"})
    socket, leg = await deaf(gateway, vllm)
    tally = watch.session.tally
    while tally.output_bytes_most <= OUTPUT["output_max_bytes"]:
        await talk(leg, 10)
    sound = pcm(20.0)
    for piece in pieces(sound):
        socket.send(text_frame("input_audio_buffer.append", audio=encoded(piece)))
    await watch.changes.until("the input is full", lambda: tally.held_samples_most > 2 * 16_000)
    assert len(leg.turns[0]) == 3_200, "the model is fed no further"
    assert not watch.session.ended
    leg.release_model()
    socket.send(text_frame("input_audio_buffer.commit", final=True))
    await results(socket, "transcription.done")
    assert leg.turns[0] == pcm(0.1) + sound
    assert watch.most_bytes <= bound_bytes(**OUTPUT)


async def test_a_client_that_does_not_read_is_cut_off_where_that_is_the_policy(
    start_gateway: GatewayStarter, vllm: FakeVllm, watch: Watch
) -> None:
    gateway = await start_gateway(server=SMALL, session=OUTPUT)
    socket, leg = await deaf(gateway, vllm)
    while not leg.is_lost:
        await talk(leg, 50)
    before, close = await socket.until_close()
    errors = [received.event for received in before if received.event["type"] == "error"]
    assert [code_of(event) for event in errors] == ["slow-client"]
    assert close.close_code == 1008
    assert watch.session.tally.output_bytes_most <= OUTPUT["output_max_bytes"] + 2_000
