"""Whatever happens to the connection: every input is taken exactly once in order, and so is every event."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.events import Event, SessionEnded, SessionResumed, TextDelta, TurnCancelled, TurnDone
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.client.resumption import ClientMachine
from parley.core.content import Audio
from parley.core.errors import Fault, Retry

from .model_server import ModelLink, ModelServer

LOST = SessionFailed("connect-failed", "No.", fault=Fault.SERVER, retry=Retry.NEW_SESSION)


class Harness:
    """A client's machine and the model of a server, with everything between them in the test's hands."""

    def __init__(self) -> None:
        limits = ClientLimits(unacked_max_s=3.0, turns_max=4, greeting_timeout_s=1e6, answer_timeout_s=1e6)
        self.machine = ClientMachine("m", limits=limits)
        self.server = ModelServer(window_s=1e9)
        self.link: ModelLink | None = None
        self.dial: Connect | None = None
        self.now = 0.0
        self.asked: list[dict[str, Any]] = []
        self.emitted: list[Event] = []
        self.pieces = 0
        self.perform(self.machine.connect(0.0))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect():
                    assert self.link is None
                    self.dial = action
                case Send(content):
                    assert self.link is not None
                    self.link.to_server.append(content)
                case Disconnect():
                    self.hang_up()
                case Emit(event):
                    self.emitted.append(event)
                case Fail(failure):
                    raise AssertionError(f"{failure.code}: {failure.message}")
        limits = ClientLimits()
        assert self.machine.unacked_inputs * 100 < limits.unacked_max_bytes

    def hang_up(self) -> None:
        if self.link is not None:
            self.server.cut(self.link)
            self.link = None

    # ---- what may happen

    def user(self, choice: int) -> None:
        machine, is_open = self.machine, bool(self.asked and self._is_open())
        if machine.has_ended or not machine.can_take_input:
            return
        if not is_open:
            if machine.can_start_turn:
                self._ask({"type": "input_audio_buffer.commit"}, machine.start_turn())
        elif choice < 6:
            self.pieces += 1
            payload = f"{self.pieces:04}"
            actions = machine.send_audio(Audio(payload.encode(), 1_600))
            self._ask({"type": "input_audio_buffer.append", "audio": payload}, actions)
        elif choice == 6 and machine.can_resume:
            self._ask({"type": "input_audio_buffer.clear"}, machine.clear())
        elif choice == 7 and machine.can_resume:
            self._ask({"type": "transcription.cancel"}, machine.cancel())
        else:
            self._ask({"type": "input_audio_buffer.commit", "final": True}, machine.end_turn())

    def _is_open(self) -> bool:
        return bool(self.machine._dictation.turns.open)

    def _ask(self, body: dict[str, Any], actions: list[Action]) -> None:
        self.asked.append(body)
        self.perform(actions)

    def to_server(self, _choice: int) -> None:
        if self.link is not None and self.link.to_server:
            self.server.receive(self.link)

    def to_client(self, _choice: int) -> None:
        if self.link is not None and self.link.to_client:
            self.perform(self.machine.message_received(self.link.to_client.popleft(), self.now))

    def acknowledge(self, _choice: int) -> None:
        if self.link is not None:
            self.server.acknowledge(self.link)

    def cut(self, choice: int) -> None:
        """Of what is on its way, some arrives and the rest is lost."""
        link = self.link
        if link is None or not self.machine.is_greeted:
            return
        for _ in range(choice % 4):
            self.to_server(0)
        for _ in range(choice // 2):
            self.to_client(0)
        if self.link is link:
            self.hang_up()
            self.perform(self.machine.connection_lost(self.now, 1006, choice / 10))

    def connect(self, choice: int) -> None:
        if self.dial is None:
            return
        dial, self.dial = self.dial, None
        if choice == 9 and self.machine.is_greeted:
            self.perform(self.machine.connection_failed(self.now, LOST, 0.5))
        else:
            self.link = self.server.accept(resumes=dial.url_has_resume)
            self.perform(self.machine.connection_opened(self.now))

    def wait(self, choice: int) -> None:
        self.now += choice * 0.3
        self.perform(self.machine.timer_fired(self.now, 0.5))

    def settle(self) -> None:
        """Until nothing is on its way any more."""
        for _ in range(10_000):
            if self.dial is not None:
                self.connect(0)
            elif self.link is None:
                deadline = self.machine.next_deadline()
                if deadline is None:
                    return
                self.now = max(self.now, deadline)
                self.perform(self.machine.timer_fired(self.now, 0.5))
            elif self.link.to_server:
                self.to_server(0)
            elif self.link.to_client:
                self.to_client(0)
            else:
                return
        raise AssertionError("it does not settle")


STEPS = ["user"] * 6 + ["to_server"] * 3 + ["to_client"] * 3 + ["acknowledge", "cut", "connect", "connect", "wait"]
schedules = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=120)


def played(schedule: list[tuple[str, int]]) -> Harness:
    harness = Harness()
    for step, choice in schedule:
        getattr(harness, step)(choice)
    harness.settle()
    return harness


def taken(harness: Harness) -> list[dict[str, Any]]:
    """What the server that the client is with has taken, its cancels without their items."""
    session = harness.server.sessions[harness.machine._conversation._token]
    return [
        {"type": body["type"]} if body["type"] == "transcription.cancel" else body
        for body in session.inputs
        if body["type"] != "session.end"
    ]


@given(schedules)
@settings(max_examples=400, deadline=None)
def test_every_input_is_taken_exactly_once_and_in_order(schedule: list[tuple[str, int]]) -> None:
    harness = played(schedule)
    assert taken(harness) == harness.asked
    assert harness.link is not None
    harness.acknowledge(0)
    harness.to_client(0)
    assert harness.machine.unacked_inputs == 0


@given(schedules)
@settings(max_examples=400, deadline=None)
def test_every_event_is_told_exactly_once_and_in_order(schedule: list[tuple[str, int]]) -> None:
    harness = played(schedule)
    session = harness.server.sessions[harness.machine._conversation._token]
    bodies = [json.loads(content) for content in session.events]
    said = [body["delta"] for body in bodies if body["type"] == "transcription.delta"]
    assert [event.text for event in harness.emitted if isinstance(event, TextDelta)] == said
    ends = [body["item_id"] for body in bodies if body["type"] in ("transcription.done", "transcription.cancelled")]
    told = [f"item_{event.item}" for event in harness.emitted if isinstance(event, TurnDone | TurnCancelled)]
    assert told == ends


@given(schedules)
@settings(max_examples=200, deadline=None)
def test_every_loss_is_told_with_its_end(schedule: list[tuple[str, int]]) -> None:
    harness = played(schedule)
    names = [type(event).__name__ for event in harness.emitted]
    losses = [name for name in names if name in ("ConnectionLost", "SessionResumed")]
    assert losses == ["ConnectionLost", "SessionResumed"] * (len(losses) // 2)
    for event in harness.emitted:
        if isinstance(event, SessionResumed):
            assert event.attempts >= 1


@given(schedules)
@settings(max_examples=200, deadline=None)
def test_a_session_that_is_ended_ends_once_whatever_happens_to_the_connection(schedule: list[tuple[str, int]]) -> None:
    harness = played(schedule)
    harness.perform(harness.machine.end_session())
    harness.to_server(0)
    harness.cut(0)
    harness.settle()
    assert harness.machine.has_ended
    assert [event for event in harness.emitted if isinstance(event, SessionEnded)] == harness.emitted[-1:]
