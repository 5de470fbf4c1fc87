import json
from typing import Any

import pytest

from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.events import (
    ConnectionLost,
    Event,
    InputCleared,
    Recovered,
    Recovering,
    SessionCreated,
    SessionEnded,
    SessionResumed,
    TextDelta,
    TextRevised,
    TurnCancelled,
    TurnDone,
    TurnFailed,
)
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.client.loss import REFUSALS
from parley.client.resumption import ClientMachine
from parley.core.content import Audio
from parley.core.errors import ERRORS, Fault, Retry

from .model_server import message, refusal

SECOND = Audio(b"AAAA", 16_000)
NONE_TAKEN = {"cursor_ms": 0, "replayed_ms": [], "lost": []}
UNREACHABLE = SessionFailed("connect-failed", "No.", fault=Fault.SERVER, retry=Retry.NEW_SESSION)


class Client:
    """The machine with what it was told and what it wanted."""

    def __init__(self, *, resume: bool = True, **limits: Any) -> None:
        self.machine = ClientMachine("m", resume=resume, limits=ClientLimits(**limits))
        self.now = 100.0
        self.actions: list[Action] = []
        self.do(self.machine.connect(self.now))

    def do(self, actions: list[Action]) -> list[Action]:
        self.actions += actions
        return actions

    def hear(self, *messages: bytes) -> list[Action]:
        return [action for content in messages for action in self.do(self.machine.message_received(content, self.now))]

    def opened(self) -> list[Action]:
        return self.do(self.machine.connection_opened(self.now))

    def failed(self, failure: SessionFailed = UNREACHABLE, jitter: float = 1.0) -> list[Action]:
        return self.do(self.machine.connection_failed(self.now, failure, jitter))

    def lost(self, code: int = 1006, jitter: float = 1.0) -> list[Action]:
        return self.do(self.machine.connection_lost(self.now, code, jitter))

    def wait(self, until: float) -> list[Action]:
        self.now = until
        return self.do(self.machine.timer_fired(self.now, 1.0))

    def say(self, seconds: int = 1) -> None:
        self.do(self.machine.start_turn())
        for _ in range(seconds):
            self.do(self.machine.send_audio(SECOND))
        self.do(self.machine.end_turn())


def created(window_s: float | None = 30.0) -> bytes:
    return message("session.created", id="sess", parley={"resume_window_s": window_s} if window_s else None)


def updated() -> bytes:
    return message("session.updated", id="sess", resume={"token": "t0ken", "window_s": 30.0})


def resumed(input_seq: int = 0, **fields: Any) -> bytes:
    return message(
        "session.resumed", id="sess", **{"outcome": "resumed", "input_seq": input_seq, **NONE_TAKEN, **fields}
    )


def delta(seq: int, text: str = " hi", item: int = 1) -> bytes:
    return message("transcription.delta", delta=text, item_id=f"item_{item}", seq=seq)


def done(seq: int, item: int = 1, **fields: Any) -> bytes:
    return message("transcription.done", text=" hi", usage=None, item_id=f"item_{item}", seq=seq, **fields)


def live(**options: Any) -> Client:
    client = Client(**options)
    client.opened()
    client.hear(created(), updated())
    return client


def stock(**options: Any) -> Client:
    client = Client(**options)
    client.opened()
    client.hear(created(None))
    return client


def back(client: Client, *messages: bytes) -> list[Action]:
    """The connection that was asked for is made, and the session resumed."""
    assert isinstance(client.actions[-1], Connect)
    return client.opened() + client.hear(*(messages or (resumed(),)))


def sent(actions: list[Action]) -> list[str]:
    return [json.loads(action.message)["type"] for action in actions if isinstance(action, Send)]


def told(actions: list[Action]) -> list[Event]:
    return [action.event for action in actions if isinstance(action, Emit)]


def failure_in(actions: list[Action]) -> SessionFailed:
    (failure,) = [action.failure for action in actions if isinstance(action, Fail)]
    return failure


# ---- the beginning


def test_an_offer_is_taken_and_input_follows_at_once() -> None:
    client = Client()
    assert client.actions == [Connect(url_has_resume=False)]
    client.do(client.machine.start_turn())
    assert client.opened() == []
    assert sent(client.hear(created())) == ["session.update", "input_audio_buffer.commit"]
    (opt_in, _) = [action for action in client.actions if isinstance(action, Send)]
    assert json.loads(opt_in.message) == {"type": "session.update", "model": "m", "parley": {"resume": True}}
    assert client.machine.can_resume
    assert client.hear(updated()) == []


@pytest.mark.parametrize(("resume", "window_s"), [(True, None), (False, 30.0)])
def test_without_an_offer_or_the_wish_it_speaks_vllms_protocol(resume: bool, window_s: float | None) -> None:
    client = Client(resume=resume)
    client.opened()
    (naming, greeting) = client.hear(created(window_s))
    assert naming == Send(b'{"type":"session.update","model":"m"}')
    assert greeting == Emit(SessionCreated("sess"))
    assert not client.machine.can_resume


def test_a_first_connection_that_fails_is_not_tried_again() -> None:
    client = Client()
    assert client.failed() == [Fail(UNREACHABLE)]
    assert client.machine.has_ended


def test_a_server_that_is_gone_before_the_session_began_is_a_failure() -> None:
    client = Client()
    client.opened()
    assert "before the session began" in failure_in(client.lost()).message


def test_a_server_that_does_not_greet_is_given_up() -> None:
    client = Client(greeting_timeout_s=5.0)
    client.opened()
    assert client.machine.next_deadline() == 105.0
    actions = client.wait(105.0)
    assert failure_in(actions).code == "upstream-stalled"
    assert actions[-1] == Disconnect()


def test_a_model_that_is_not_there_is_told_and_the_session_goes_on() -> None:
    client = Client()
    client.opened()
    client.hear(created(), message("session.news"))
    assert failure_in(client.hear(refusal("model-not-found", retry="same-session"))).code == "model-not-found"
    client.hear(updated())
    assert not client.machine.has_ended


@pytest.mark.parametrize("odd", [delta(1), resumed(), b"no json"])
def test_an_opt_in_that_is_not_answered_is_a_failure(odd: bytes) -> None:
    client = Client()
    client.opened()
    client.hear(created())
    assert failure_in(client.hear(odd)).code == "upstream-protocol"


# ---- events


def test_events_are_told_in_the_words_of_the_client() -> None:
    client = live()
    client.do(client.machine.start_turn())
    error = {"code": "turn-failed", "message": "No.", "fault": "upstream", "retry": "same-session"}
    spans = {"outcome": "rehydrated", "replayed_ms": [[0, 80]], "lost": []}
    change = {"start": 1, "end": 3, "text": "ho", "from_ms": 0, "to_ms": 80}
    actions = client.hear(
        delta(1),
        message("session.recovering", reason="upstream-closed", seq=2),
        message("transcription.revised", item_id="item_1", seq=3, **change),
        message("session.recovered", seq=4, **spans),
        done(5, text_from_ms=20),
        message("transcription.failed", item_id="item_2", error=error, seq=6),
        message("transcription.cancelled", item_id="item_3", seq=7),
        message("input_audio_buffer.cleared", item_id="item_4", seq=8),
        message("session.something_new", seq=9),
    )
    assert told(actions)[:4] == [
        TextDelta(" hi", None, 1),
        Recovering("upstream-closed"),
        TextRevised(1, 1, 3, "ho", (0, 80)),
        Recovered("rehydrated", ((0, 80),), ()),
    ]
    end, *rest = told(actions)[4:]
    assert isinstance(end, TurnDone)
    assert (end.text, end.item, end.text_from_ms) == ("hi", 1, 20)
    failed = TurnFailed(2, "turn-failed", "No.", "upstream", "same-session")
    assert rest == [failed, TurnCancelled(3), InputCleared(4)]


def test_an_event_that_comes_twice_is_told_once() -> None:
    client = live()
    assert len(told(client.hear(delta(1), delta(2), delta(1), delta(2), delta(3)))) == 3


def test_a_hole_in_the_numbers_is_a_failure_that_says_so() -> None:
    client = live()
    client.hear(delta(1))
    actions = client.hear(delta(3))
    failure = failure_in(actions)
    assert failure.code == "upstream-protocol"
    assert "Event 3 came after event 1" in failure.message
    assert actions[-1] == Disconnect()


@pytest.mark.parametrize("odd", [message("transcription.delta", delta="x"), created(), updated(), resumed()])
def test_what_can_not_be_there_is_a_failure(odd: bytes) -> None:
    assert failure_in(live().hear(odd)).code == "upstream-protocol"


def test_an_error_without_a_number_is_told() -> None:
    client = live()
    assert failure_in(client.hear(refusal("invalid-json", retry="same-session"))).code == "invalid-json"
    assert not client.machine.has_ended


def test_an_error_that_ends_the_session_is_the_last_word() -> None:
    client = live()
    actions = client.hear(refusal("slow-client", seq=1))
    assert failure_in(actions).code == "slow-client"
    assert actions[-1] == Disconnect()
    assert client.hear(message("session.ended", reason="slow-client", retry="new-session", seq=2)) == []
    assert client.lost() == []


@pytest.mark.parametrize(("reason", "code"), [("shutting-down", "shutting-down"), ("whatever", "upstream-protocol")])
def test_an_end_that_was_not_asked_for_is_a_failure(reason: str, code: str) -> None:
    actions = live().hear(message("session.ended", reason=reason, retry="new-session", seq=1))
    assert told(actions) == [SessionEnded(reason, "new-session")]
    assert failure_in(actions).code == code


def test_times_are_counted_for_each_turn() -> None:
    machine = ClientMachine(timestamps=True)
    client = Client()
    client.machine = machine
    machine.connect(0.0)
    client.opened()
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    end = message("transcription.done", text=" hi", usage=usage, item_id="item_1", seq=3)
    actions = client.hear(created(), updated(), delta(1, ""), delta(2), end, delta(4, item=2))
    first, over, second = told(actions)[1:]
    assert isinstance(first, TextDelta)
    assert isinstance(over, TurnDone)
    assert isinstance(second, TextDelta)
    assert (first.audio_end_s, over.has_exact_times, second.audio_end_s) == (0.16, True, 0.08)


# ---- acknowledgements


def test_events_are_acknowledged_by_their_number() -> None:
    client = live(ack_max_events=3)
    assert sent(client.hear(delta(1), delta(2))) == []
    (ack,) = [action for action in client.hear(delta(3)) if isinstance(action, Send)]
    assert json.loads(ack.message) == {"type": "session.ack", "seq": 3}
    assert sent(client.hear(delta(4), delta(5))) == []


def test_events_are_acknowledged_by_their_size() -> None:
    client = live(ack_max_bytes=1_000)
    assert sent(client.hear(delta(1, "x" * 900))) == []
    assert sent(client.hear(delta(2, "x" * 100))) == ["session.ack"]


def test_events_are_acknowledged_after_a_time() -> None:
    client = live(ack_delay_s=1.0)
    client.hear(delta(1))
    assert client.machine.next_deadline() == 101.0
    assert sent(client.wait(100.9)) == []
    assert sent(client.wait(101.0)) == ["session.ack"]
    assert client.machine.next_deadline() is None


def test_the_end_of_a_turn_is_acknowledged_at_once() -> None:
    client = live()
    assert sent(client.hear(delta(1), done(2))) == ["session.ack"]


def test_input_is_kept_until_it_is_acknowledged() -> None:
    client = live()
    client.say()
    assert client.machine.unacked_inputs == 3
    client.hear(message("session.ack", input_seq=2, cursor_ms=1_000))
    assert client.machine.unacked_inputs == 1
    client.hear(message("session.ack", input_seq=3, cursor_ms=1_000))
    assert client.machine.unacked_inputs == 0


@pytest.mark.parametrize("input_seq", [1, 4])
def test_an_acknowledgement_that_can_not_be_is_a_failure(input_seq: int) -> None:
    client = live()
    client.say()
    client.hear(message("session.ack", input_seq=2, cursor_ms=1_000))
    failure = failure_in(client.hear(message("session.ack", input_seq=input_seq, cursor_ms=1_000)))
    assert failure.code == "upstream-protocol"


@pytest.mark.parametrize("limits", [{"unacked_max_s": 2.0}, {"unacked_max_bytes": 450}])
def test_no_more_input_is_taken_than_may_be_kept(limits: dict[str, float]) -> None:
    client = live(**limits)
    client.do(client.machine.start_turn())
    while client.machine.can_take_input:
        client.do(client.machine.send_audio(SECOND))
    assert client.machine.unacked_inputs == 3
    with pytest.raises(RuntimeError, match="Too much"):
        client.machine.send_audio(SECOND)
    client.hear(message("session.ack", input_seq=3, cursor_ms=2_000))
    assert client.machine.can_take_input


# ---- the order of input


def test_turns_may_be_begun_before_the_one_before_is_done() -> None:
    client = live(turns_max=2)
    client.say()
    client.say()
    assert not client.machine.can_start_turn
    with pytest.raises(RuntimeError, match="Too many turns"):
        client.machine.start_turn()
    client.hear(done(1))
    client.say()


@pytest.mark.parametrize("call", ["send_audio", "end_turn", "clear", "cancel"])
def test_without_a_turn_there_is_nothing_to_say(call: str) -> None:
    method = getattr(live().machine, call)
    with pytest.raises(RuntimeError):
        method(SECOND) if call == "send_audio" else method()


def test_a_turn_within_a_turn_is_refused() -> None:
    client = live()
    client.do(client.machine.start_turn())
    with pytest.raises(RuntimeError, match="going on"):
        client.machine.start_turn()


@pytest.mark.parametrize("call", ["clear", "cancel"])
def test_a_server_without_the_contract_is_not_asked_for_it(call: str) -> None:
    client = stock()
    client.do(client.machine.start_turn())
    with pytest.raises(RuntimeError, match="can_resume"):
        getattr(client.machine, call)()


def test_a_cleared_turn_goes_on_as_the_next_item() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.clear())
    client.do(client.machine.send_audio(SECOND))
    client.do(client.machine.clear())
    assert cancelled_item(client) == "item_2"


def test_a_cancelled_open_turn_takes_no_more_audio() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.cancel())
    with pytest.raises(RuntimeError, match="start one"):
        client.machine.send_audio(SECOND)
    with pytest.raises(RuntimeError, match="no such turn"):
        client.machine.cancel(1)
    client.hear(message("transcription.cancelled", item_id="item_1", seq=1))
    client.do(client.machine.start_turn())


def test_a_cancel_that_came_too_late_is_no_failure() -> None:
    client = live()
    client.say()
    client.do(client.machine.cancel(1))
    late = refusal("invalid-event", retry="same-session", seq=2)
    assert not [action for action in client.hear(done(1), late) if isinstance(action, Fail)]
    other = refusal("invalid-event", retry="same-session", seq=3)
    assert failure_in(client.hear(other)).code == "invalid-event"


def failed(item: int, seq: int) -> bytes:
    error = {"code": "turn-failed", "message": "", "fault": "upstream", "retry": "same-session"}
    return message("transcription.failed", item_id=f"item_{item}", error=error, seq=seq)


def test_a_turn_that_failed_can_not_be_cancelled_but_is_ended() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.send_audio(SECOND))
    client.hear(failed(1, 1))
    with pytest.raises(RuntimeError, match="no such turn"):
        client.machine.cancel()
    client.do(client.machine.end_turn())
    client.do(client.machine.start_turn())
    assert cancelled_item(client) == "item_2"


def test_a_turn_that_failed_begins_again_as_another_item_when_it_is_cleared() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.send_audio(SECOND))
    client.hear(failed(1, 1))
    client.do(client.machine.clear())
    client.do(client.machine.send_audio(SECOND))
    assert cancelled_item(client) == "item_2"


def test_a_turn_that_fails_while_its_clear_is_on_its_way_begins_again_too() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.send_audio(SECOND))
    client.do(client.machine.clear())
    client.hear(failed(1, 1), message("input_audio_buffer.cleared", item_id="item_1", seq=2))
    client.do(client.machine.end_turn())
    assert cancelled_item(client) == "item_2"


def test_a_turn_that_was_cleared_before_it_failed_is_another_item() -> None:
    client = live()
    client.do(client.machine.start_turn())
    client.do(client.machine.send_audio(SECOND))
    client.do(client.machine.clear())
    client.hear(message("input_audio_buffer.cleared", item_id="item_1", seq=1), failed(2, 2))
    client.do(client.machine.end_turn())
    client.do(client.machine.start_turn())
    assert cancelled_item(client) == "item_3"


def cancelled_item(client: Client) -> str:
    """The item that is named when the oldest turn is cancelled."""
    (*_, cancel) = client.do(client.machine.cancel())
    assert isinstance(cancel, Send)
    return str(json.loads(cancel.message)["item_id"])


# ---- the loss of the connection


def test_a_lost_connection_is_made_again_at_once_and_resumed() -> None:
    client = live()
    client.say()
    client.hear(delta(1))
    assert client.lost(1012) == [Emit(ConnectionLost(1012)), Connect(url_has_resume=True)]
    (resume,) = client.opened()
    assert resume == Send(b'{"type":"session.resume","token":"t0ken","seq":1}')
    client.now += 0.5
    actions = client.hear(created(), resumed(2, replayed_ms=[[0, 80]], outcome="rehydrated"))
    assert told(actions) == [SessionResumed("rehydrated", ((0, 80),), (), 1, 0.5)]
    assert sent(actions) == ["input_audio_buffer.commit"]
    assert client.machine.unacked_inputs == 1


def test_input_is_taken_while_the_connection_is_away() -> None:
    client = live()
    client.lost()
    client.say()
    assert not client.machine.is_connected
    assert len(sent(back(client))) == 1 + 3


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1009, 1011, 4000])
def test_no_close_code_but_a_refusals_ends_the_session(code: int) -> None:
    client = live()
    assert isinstance(client.lost(code)[-1], Connect)


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_ends_the_session(code: str) -> None:
    client = live()
    client.lost()
    client.opened()
    actions = client.hear(created(), refusal(code))
    assert failure_in(actions).code == code
    assert actions[-1] == Disconnect()
    assert client.machine.has_ended


@pytest.mark.parametrize("code", ["unknown-session", "expired", "gap", "wrong-principal", "superseded"])
def test_a_refusals_close_code_says_as_much_as_its_event(code: str) -> None:
    assert failure_in(live().lost(ERRORS[code].ws_close)).code == code


def test_attempts_come_later_and_later_up_to_a_bound() -> None:
    client = live(retry_first_s=0.1, retry_max_s=0.4)
    client.lost()
    delays = []
    for _ in range(5):
        client.failed()
        deadline = client.machine.next_deadline()
        assert deadline is not None
        delays.append(round(deadline - client.now, 3))
        assert client.wait(deadline - 0.01) == []
        assert client.wait(deadline) == [Connect(url_has_resume=True)]
    assert delays == [0.1, 0.2, 0.4, 0.4, 0.4]


def test_chance_spreads_the_attempts() -> None:
    client = live()
    client.lost()
    client.failed(jitter=0.0)
    assert client.machine.next_deadline() == 100.05


def test_the_server_may_say_when_to_come_back() -> None:
    client = live()
    client.lost()
    failure = SessionFailed("at-capacity", "", fault=Fault.SERVER, retry=Retry.NEW_SESSION, retry_after_s=7.0)
    client.failed(failure)
    assert client.machine.next_deadline() == 107.0


def test_a_server_that_is_full_says_so_on_the_connection_too() -> None:
    client = live()
    client.lost()
    client.opened()
    parley = {"code": "at-capacity", "fault": "server", "retry": "new-session", "retry_after_s": 3.0}
    assert client.hear(message("error", error="", code="x", parley=parley)) == []
    client.lost(1013)
    assert client.machine.next_deadline() == 103.0


def test_a_server_that_wants_to_be_left_alone_for_too_long_is_given_up() -> None:
    client = live()
    client.lost()
    failure = SessionFailed("at-capacity", "", fault=Fault.SERVER, retry=Retry.NEW_SESSION, retry_after_s=31.0)
    assert failure_in(client.failed(failure)).code == "connection-lost"


def test_a_key_that_is_no_longer_good_is_not_tried_again() -> None:
    client = live()
    client.lost()
    failure = SessionFailed("connect-refused", "", fault=Fault.CLIENT, retry=Retry.NEVER)
    assert client.failed(failure) == [Fail(failure)]


def test_at_the_end_of_the_window_the_loss_says_what_is_not_known() -> None:
    client = live()
    client.say()
    client.say()
    client.hear(done(1))
    client.lost(1012)
    for _ in range(200):
        if client.machine.has_ended:
            break
        client.failed()
        deadline = client.machine.next_deadline()
        client.wait(client.now if deadline is None else deadline)
    failure = failure_in(client.actions)
    assert (failure.code, failure.fault, failure.retry) == ("connection-lost", Fault.SERVER, Retry.NEW_SESSION)
    assert client.now == 130.0
    for part in ("1012", "30.0 s", "connect-failed", "not known: 2."):
        assert part in failure.message


def test_a_server_that_does_not_answer_the_resume_is_tried_again() -> None:
    client = live(greeting_timeout_s=5.0)
    client.lost()
    client.opened()
    assert client.wait(105.0) == [Disconnect()]
    assert client.wait(105.1) == [Connect(url_has_resume=True)]
    assert [event.attempts for event in told(back(client)) if isinstance(event, SessionResumed)] == [2]


def test_a_loss_while_resuming_counts_as_an_attempt() -> None:
    client = live()
    client.lost()
    client.opened()
    assert told(client.lost()) == []
    client.wait(100.1)
    (event,) = told(back(client))
    assert isinstance(event, SessionResumed)
    assert event.attempts == 2


@pytest.mark.parametrize("odd", [delta(1), updated(), resumed(4)])
def test_a_resume_that_is_answered_wrongly_is_a_failure(odd: bytes) -> None:
    client = live()
    client.say()
    client.lost()
    client.opened()
    assert failure_in(client.hear(odd)).code == "upstream-protocol"


def test_connections_that_bring_nothing_are_made_again_more_slowly_and_then_given_up() -> None:
    client = live(fruitless_max=3)
    client.hear(delta(1))
    client.lost()
    for _ in range(3):
        back(client)
        client.lost()
        if not isinstance(client.actions[-1], Connect) and not client.machine.has_ended:
            client.wait(client.machine.next_deadline() or 0.0)
    assert client.machine.has_ended
    assert failure_in(client.actions).code == "connection-lost"


def test_a_connection_that_lasted_starts_the_attempts_over() -> None:
    client = live(stable_after_s=10.0, fruitless_max=2)
    client.hear(delta(1))
    client.lost()
    for _ in range(6):
        back(client)
        client.now += 10.0
        client.lost()
    assert isinstance(client.actions[-1], Connect)


def test_a_loss_before_the_token_starts_over_with_everything() -> None:
    client = Client()
    client.opened()
    client.hear(created())
    client.say()
    assert client.lost() == [Emit(ConnectionLost(1006)), Connect(url_has_resume=False)]
    client.opened()
    actions = client.hear(created(), updated())
    assert sent(actions) == [
        "session.update",
        *["input_audio_buffer.commit", "input_audio_buffer.append"],
        "input_audio_buffer.commit",
    ]
    assert told(actions) == [SessionCreated("sess"), SessionResumed("restarted", (), (), 1, 0.0)]


def test_a_second_loss_before_the_token_starts_over_again() -> None:
    client = Client()
    client.opened()
    client.hear(created())
    client.say()
    client.lost()
    client.opened()
    client.hear(created())
    client.lost()
    client.wait(client.machine.next_deadline() or 0.0)
    client.opened()
    assert len(sent(client.hear(created(), updated()))) == 4


def test_a_server_that_does_not_send_the_token_is_given_up() -> None:
    client = Client(greeting_timeout_s=5.0)
    client.opened()
    client.hear(created())
    assert failure_in(client.wait(105.0)).code == "upstream-stalled"


def test_a_server_that_no_longer_offers_the_contract_is_no_place_to_start_over() -> None:
    client = Client()
    client.opened()
    client.hear(created())
    client.lost()
    client.opened()
    assert "no longer offers" in failure_in(client.hear(created(None))).message


def test_a_second_server_that_does_not_send_the_token_is_left_for_a_third() -> None:
    client = Client(greeting_timeout_s=5.0)
    client.opened()
    client.hear(created())
    client.say()
    client.lost()
    client.opened()
    client.hear(created())
    assert client.wait(105.0) == [Disconnect()]
    client.wait(105.1)
    client.opened()
    assert len(sent(client.hear(created(), updated()))) == 4


def test_a_server_that_is_full_is_tried_again_to_start_over() -> None:
    client = Client()
    client.opened()
    client.hear(created())
    client.lost()
    client.opened()
    assert client.hear(refusal("at-capacity")) == []
    client.lost(1013)
    client.wait(client.machine.next_deadline() or 0.0)
    assert isinstance(client.actions[-1], Connect)


def test_a_greeting_that_is_an_error_is_the_failure() -> None:
    client = Client()
    client.opened()
    assert failure_in(client.hear(refusal("at-capacity"))).code == "at-capacity"


# ---- waiting for the end of a turn


@pytest.mark.parametrize("begin", [live, stock])
def test_an_end_that_does_not_come_is_given_up(begin: Any) -> None:
    client = begin(answer_timeout_s=20.0)
    client.now = 500.0
    client.say()
    # The input has no time of its own.
    client.wait(client.now)
    assert client.machine.next_deadline() == 520.0
    assert failure_in(client.wait(520.0)).code == "upstream-stalled"


def test_every_message_shows_that_the_server_is_at_work() -> None:
    client = live(answer_timeout_s=20.0)
    client.say()
    client.wait(100.0)
    client.now = 115.0
    client.hear(delta(1))
    client.wait(120.0)
    assert not client.machine.has_ended


def test_an_open_turn_may_be_silent_for_any_time() -> None:
    client = live(answer_timeout_s=20.0)
    client.do(client.machine.start_turn())
    client.wait(1_000.0)
    assert client.machine.next_deadline() is None


def test_a_server_that_recovers_is_waited_for() -> None:
    client = live(answer_timeout_s=20.0)
    client.say()
    client.hear(message("session.recovering", reason="upstream-closed", seq=1))
    client.wait(150.0)
    assert not client.machine.has_ended
    client.hear(message("session.recovered", outcome="rehydrated", seq=2))
    assert failure_in(client.wait(170.0)).code == "upstream-stalled"


def test_a_turn_that_is_given_up_ends_its_recovery() -> None:
    client = live(answer_timeout_s=20.0)
    client.say()
    client.say()
    client.hear(message("session.recovering", reason="upstream-closed", seq=1), failed(1, 2))
    assert failure_in(client.wait(120.0)).code == "upstream-stalled"


# ---- the end


def test_the_end_is_asked_for_and_told() -> None:
    client = live()
    assert sent(client.do(client.machine.end_session())) == ["session.end"]
    with pytest.raises(RuntimeError, match="over"):
        client.machine.start_turn()
    actions = client.hear(message("session.ended", reason="client-ended", retry="never", seq=1))
    assert actions == [Emit(SessionEnded("client-ended", "never")), Disconnect()]
    assert client.machine.has_ended
    assert client.machine.next_deadline() is None
    assert client.do(client.machine.end_session()) == []


@pytest.mark.parametrize("code", ["expired", "unknown-session"])
def test_an_end_whose_answer_was_lost_is_an_end(code: str) -> None:
    client = live()
    client.do(client.machine.end_session())
    client.lost()
    client.opened()
    assert told(client.hear(refusal(code))) == [SessionEnded("client-ended", "never")]
    assert client.machine.has_ended


def test_a_session_that_ends_while_it_is_away_says_so_once_it_is_back() -> None:
    client = live()
    client.lost()
    client.do(client.machine.end_session())
    assert sent(back(client)) == ["session.resume", "session.end"]


def test_an_ended_session_takes_nothing() -> None:
    client = stock()
    client.do(client.machine.end_session())
    with pytest.raises(RuntimeError, match="over"):
        client.machine.start_turn()


@pytest.mark.parametrize("begin", [Client, stock])
def test_a_session_without_the_contract_ends_at_once(begin: Any) -> None:
    client = begin()
    assert client.do(client.machine.end_session()) == [Disconnect()]
    assert client.wait(1_000.0) == []
    assert client.opened() == []
    assert client.failed() == []


# ---- a stock vLLM


def test_the_next_turn_waits_for_the_end_of_the_one_before() -> None:
    client = stock()
    client.say()
    assert client.do(client.machine.start_turn()) == []
    assert client.do(client.machine.send_audio(SECOND)) == []
    actions = client.hear(message("transcription.done", text=" hi", usage=None))
    assert sent(actions) == ["input_audio_buffer.commit", "input_audio_buffer.append"]
    assert [event.item for event in told(actions) if isinstance(event, TurnDone)] == [1]
    assert told(client.hear(message("transcription.delta", delta="x"))) == [TextDelta("x", None, 2)]
    assert client.machine.unacked_inputs == 0


def test_a_loss_between_turns_is_made_good_with_the_next_one() -> None:
    client = stock()
    client.say()
    client.hear(message("transcription.done", text="", usage=None))
    assert client.lost(1012) == []
    assert client.machine.next_deadline() is None
    assert client.do(client.machine.start_turn()) == [Connect(url_has_resume=False)]
    client.do(client.machine.send_audio(SECOND))
    client.opened()
    actions = client.hear(created())
    # It is not told, and its turns go on as they were counted: without the contract.
    assert told(actions) == []
    assert sent(actions) == ["session.update", "input_audio_buffer.commit", "input_audio_buffer.append"]
    assert not client.machine.can_resume


def test_a_connection_that_can_not_be_made_for_the_next_turn_is_a_failure() -> None:
    client = stock()
    client.lost()
    client.do(client.machine.start_turn())
    assert client.failed() == [Fail(UNREACHABLE)]


def test_a_loss_within_a_turn_is_a_failure() -> None:
    client = stock()
    client.do(client.machine.start_turn())
    failure = failure_in(client.lost())
    assert failure.code == "connection-lost"
    assert "not complete" in failure.message


def test_a_normal_close_between_turns_is_an_end() -> None:
    client = stock()
    assert client.lost(1000) == []
    assert client.machine.has_ended


def test_an_end_that_was_not_asked_for_is_a_truncation() -> None:
    client = stock()
    client.do(client.machine.start_turn())
    failure = failure_in(client.hear(message("transcription.done", text="x", usage=None)))
    assert failure.code == "upstream-truncated"


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_turn_that_failed_makes_room_for_the_next(is_ended: bool) -> None:
    client = stock()
    client.do(client.machine.start_turn())
    if is_ended:
        client.do(client.machine.end_turn())
    failure = failure_in(client.hear(refusal("turn-failed", retry="same-session")))
    assert failure.code == "turn-failed"
    if not is_ended:
        client.do(client.machine.end_turn())
    assert sent(client.do(client.machine.start_turn())) == ["input_audio_buffer.commit"]


def test_what_a_newer_server_says_is_passed_over() -> None:
    assert stock().hear(message("session.news"), created()) == []


# ---- what does not show


def test_neither_audio_nor_token_nor_text_shows_in_a_repr() -> None:
    client = live()
    client.say()
    client.hear(delta(1, "private"))
    client.lost()
    client.opened()
    shown = repr(client.actions)
    assert "private" not in shown
    assert "t0ken" not in shown
    assert "AAAA" not in shown
