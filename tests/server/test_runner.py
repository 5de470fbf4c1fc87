"""The runner of one session: events in, effects out, one timer, and an end whatever happens."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from parley.core import effects as ef
from parley.core import events as ev
from parley.core import notices as no
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.core.usage import Usage
from parley.ingress.attachment import SessionName
from parley.observe.log import ContentFreeHandler, JsonFormatter, TextFormatter
from parley.server.runner import SessionRunner
from parley.wire.vllm import encode_audio
from tests.support.logs import LogWatch
from tests.support.seams import SECRET, BrokenError, FakeAttachment, FakeLeg, FakeUpstream
from tests.support.sound import pcm
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.usefixtures("log")

SECOND = encode_audio(pcm(1.0))
NEVER_S = 600.0


class ScriptedSession:
    """A core that does as a test says: effects for each event, a deadline, an exception."""

    def __init__(self) -> None:
        self.ended = False
        self.generation = 1
        self.is_attached = True
        self.recovering = ""
        self.handled: list[ev.Event] = []
        self.effects: dict[type, list[ef.Effect]] = {}
        self.deadline: float | None = None
        self.breaks_on: type | None = None
        self.on_handle: Callable[[ev.Event], None] = lambda _event: None

    def open(self, now: float) -> list[ef.Effect]:
        return [ef.OpenLeg(1)]

    def handle(self, event: ev.Event, now: float) -> list[ef.Effect]:
        if self.ended:
            return []
        self.handled.append(event)
        self.on_handle(event)
        if type(event) is self.breaks_on:
            raise BrokenError(SECRET)
        return self.effects.get(type(event), [])

    def handle_client(self, event: ev.Event, generation: int, now: float) -> list[ef.Effect]:
        return self.handle(event, now) if generation == self.generation else []

    def take_audio(self, audio: Audio, generation: int, now: float, messages: int = 1) -> bool:
        if self.breaks_on is Audio:
            raise BrokenError(SECRET)
        return False

    def take_delta(self, leg_id: int, text: Text, now: float) -> bool | None:
        if self.breaks_on is Text:
            raise BrokenError(SECRET)
        return None

    def next_deadline(self) -> float | None:
        return self.deadline

    def kinds(self) -> list[type]:
        return [type(event) for event in self.handled]


class Stage:
    """A runner between doubles."""

    def __init__(self, session: Any) -> None:
        self.changes = Changes()
        self.session = session
        self.upstream = FakeUpstream(self.changes)
        self.attachment = FakeAttachment(self.changes)
        self.measured: list[bytes] = []
        self.speech_samples: int | Exception = 0
        self.runner = SessionRunner(
            cast(Session, session),
            self.attachment,
            self.upstream,
            name=SessionName("sess-test", 1),
            clock=asyncio.get_running_loop().time,
            issue_token=lambda runner: f"{SECRET}-{runner.name.session_id}",
            measure_speech=self._measure,
            resume_window_s=30.0,
        )
        self.client = self.runner.first_port()
        self.running = asyncio.create_task(self.runner.run())

    def _measure(self, pcm: bytes) -> int:
        self.measured.append(pcm)
        if isinstance(self.speech_samples, Exception):
            raise self.speech_samples
        return self.speech_samples

    async def until_open(self) -> FakeLeg:
        await self.changes.until("a leg", lambda: bool(self.upstream.legs))
        # The leg is handed over in the loop's next turn.
        await asyncio.sleep(0)
        return self.upstream.leg

    async def until_given_up(self, leg: FakeLeg) -> None:
        """The session wants nothing more of the leg, and asks for another."""
        await self.changes.until("the leg is closed", lambda: leg.told[-1:] == ["close"])
        await self.changes.until("another is asked for", lambda: self.upstream.opening > len(self.upstream.legs))

    async def until_ended(self) -> None:
        await bounded("the session ends", asyncio.wait([self.running]))


@asynccontextmanager
async def stage(session: Any = None, *, starts: bool = True) -> AsyncIterator[Stage]:
    on = Stage(session or ScriptedSession())
    if starts:
        on.client.start()
    try:
        yield on
    finally:
        on.running.cancel()
        await asyncio.wait([on.running])


def real(**limits: float) -> Session:
    """The real core with these bounds, and otherwise none that a test could meet."""
    patient = {
        "connect_timeout_s": NEVER_S,
        "first_delta_timeout_s": NEVER_S,
        "stall_timeout_s": NEVER_S,
        "flush_timeout_s": NEVER_S,
    }
    return Session(SessionLimits(**{**patient, **limits}))  # type: ignore[arg-type]


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What production's log would print, at DEBUG, in both formats."""
    out = io.StringIO()
    handlers = []
    for formatter in (TextFormatter(), JsonFormatter()):
        handler = ContentFreeHandler(out)
        handler.setFormatter(formatter)
        handlers.append(handler)
        logging.getLogger().addHandler(handler)
    yield out
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


# ---- a bug of ours


@pytest.mark.parametrize("kind", [ev.TurnStarted, ev.AudioReceived, ev.DeltaReceived, Audio, Text, ev.TimerFired])
async def test_a_bug_in_the_core_ends_the_session_and_no_content_is_printed(
    kind: type, log: LogWatch, printed: io.StringIO
) -> None:
    log.expect_errors("parley.session")
    session = ScriptedSession()
    async with stage(session) as on:
        leg = await on.until_open()
        session.breaks_on = kind
        on.client.receive(ev.TurnStarted())
        on.runner.receive(ev.TimerFired())
        on.client.receive_audio(SECOND)
        on.runner.receive_delta(1, Text(b'"x"'))
        await on.until_ended()
        assert on.attachment.end_code == "internal-error"
        assert on.runner.outcome == "internal-error"
        assert leg.told == ["close"]
    assert "sess-test failed: BrokenError" in printed.getvalue()
    assert SECRET not in printed.getvalue()
    assert len([record for record in log.records if record.exc_info]) == 1


@pytest.mark.parametrize("what", ["audio", "close"])
async def test_a_bug_in_an_effect_ends_the_session_even_when_it_was_ending(what: str, log: LogWatch) -> None:
    log.expect_errors("parley.session")
    async with stage(real()) as on:
        leg = await on.until_open()
        leg.breaks_on = what
        on.client.receive(ev.ModelNamed(""))
        on.client.receive(ev.TurnStarted())
        on.client.receive_audio(SECOND)
        on.client.receive_audio(SECOND)
        on.client.receive(ev.ClientClosed())
        await on.until_ended()
        assert len(on.attachment.ended) == 1


async def test_a_bug_in_opening_a_leg_ends_the_session_and_is_logged(log: LogWatch) -> None:
    log.expect_errors("parley.session")
    async with stage(real(), starts=False) as on:
        on.upstream.fails_with = BrokenError(SECRET)
        on.client.start()
        await on.until_ended()
        assert on.attachment.end_code == "internal-error"
        assert any(record.exc_info for record in log.records)


async def test_nothing_is_told_after_the_end(log: LogWatch) -> None:
    log.expect_errors("parley.session")
    session = ScriptedSession()
    async with stage(session) as on:
        await on.until_open()
        session.breaks_on = ev.TurnStarted
        session.effects[ev.TurnEnded] = [ef.SendDelta(Text(b'"x"'))]
        on.client.receive(ev.TurnStarted())
        on.client.receive(ev.TurnEnded())
        on.client.receive_audio(SECOND)
        await on.until_ended()
        assert on.attachment.told == ["end"]


# ---- order


async def test_what_happens_while_effects_are_performed_is_handled_after_them_in_order() -> None:
    session = ScriptedSession()
    done = ef.SendDone(Text(b'""'), Usage())
    session.effects = {
        ev.TurnStarted: [ef.SendDelta(Text(b'"a"')), done],
        ev.ClientBlocked: [ef.PauseInput()],
        ev.ClientUnblocked: [ef.ResumeInput()],
    }
    async with stage(session) as on:
        await on.until_open()

        def answer(what: str) -> None:
            if what == "delta":
                on.client.receive(ev.ClientBlocked())
                on.client.receive(ev.ClientUnblocked())

        on.attachment.on_told = answer
        on.client.receive(ev.TurnStarted())
        assert on.attachment.told == ["delta", "done", "pause", "resume"]
        assert session.kinds()[-3:] == [ev.TurnStarted, ev.ClientBlocked, ev.ClientUnblocked]


async def test_audio_and_deltas_that_come_while_effects_are_performed_keep_their_place() -> None:
    session = ScriptedSession()
    session.effects = {ev.TurnStarted: [ef.SendDelta(Text(b'"a"'))]}
    async with stage(session) as on:
        await on.until_open()

        def answer(what: str) -> None:
            on.client.receive(ev.ClientBlocked())
            on.client.receive_audio(SECOND)
            on.runner.receive_delta(1, Text(b'"b"'))
            on.client.receive(ev.ClientUnblocked())

        on.attachment.on_told = answer
        on.client.receive(ev.TurnStarted())
        assert session.kinds()[-5:] == [
            ev.TurnStarted,
            ev.ClientBlocked,
            ev.AudioReceived,
            ev.DeltaReceived,
            ev.ClientUnblocked,
        ]


# ---- time


async def test_the_timer_fires_when_the_deadline_has_come() -> None:
    session = ScriptedSession()
    async with stage(session) as on:
        session.deadline = asyncio.get_running_loop().time() + 0.02

        def note(event: ev.Event) -> None:
            if isinstance(event, ev.TimerFired):
                session.deadline = None
            on.changes.notify()

        session.on_handle = note
        on.client.receive(ev.TurnStarted())
        await on.changes.until("the timer", lambda: ev.TimerFired in session.kinds())


async def test_a_deadline_that_comes_sooner_replaces_a_later_one() -> None:
    session = ScriptedSession()
    async with stage(session) as on:
        session.on_handle = lambda _event: on.changes.notify()
        session.deadline = asyncio.get_running_loop().time() + NEVER_S
        on.client.receive(ev.TurnStarted())
        session.deadline = asyncio.get_running_loop().time() + 0.02
        on.client.receive(ev.TurnEnded())
        await on.changes.until("the timer", lambda: ev.TimerFired in session.kinds())


async def test_an_ended_session_has_no_timer_left() -> None:
    async with stage(real(connect_timeout_s=0.02), starts=False) as on:
        on.upstream.may_open.clear()
        on.client.start()
        on.client.receive(ev.ClientClosed())
        await on.until_ended()
        assert on.attachment.end_code is None


async def in_a_turn(on: Stage) -> FakeLeg:
    """A turn that has been started, without audio yet."""
    leg = await on.until_open()
    on.client.receive(ev.ModelNamed(""))
    on.client.receive(ev.TurnStarted())
    return leg


async def test_a_model_that_says_nothing_is_noticed_while_audio_goes_on() -> None:
    async with stage(real(first_delta_timeout_s=0.05)) as on:
        leg = await in_a_turn(on)
        on.upstream.may_open.clear()
        on.client.receive_audio(SECOND)
        await on.until_given_up(leg)
        assert leg.told == ["start", "audio", "close"]


async def test_a_model_that_falls_silent_is_noticed_as_soon_as_the_stall_timeout_says() -> None:
    async with stage(real(stall_timeout_s=0.05)) as on:
        leg = await in_a_turn(on)
        on.upstream.may_open.clear()
        for _ in range(2):
            on.client.receive_audio(SECOND)
        on.runner.receive_delta(1, Text(b'""'))
        await on.until_given_up(leg)


async def test_a_model_that_does_not_end_a_turn_is_noticed_when_held_audio_delayed_the_end() -> None:
    async with stage(real(flush_timeout_s=0.05, pace_window_s=1.0)) as on:
        leg = await in_a_turn(on)
        for _ in range(2):
            on.client.receive_audio(SECOND)
        on.client.receive(ev.TurnEnded())
        assert leg.told == ["start", "audio"]
        # The delta lets the held audio go, and with it the end of the turn.
        on.runner.receive_delta(1, Text(b'""'))
        assert leg.told == ["start", "audio", "audio", "end"]
        on.upstream.may_open.clear()
        await on.until_given_up(leg)


async def test_an_opener_that_hangs_is_noticed_for_a_later_leg_too() -> None:
    async with stage(real(connect_timeout_s=0.05, recovery_timeout_s=0.1)) as on:
        await in_a_turn(on)
        on.upstream.may_open.clear()
        on.runner.receive(ev.LegFailed(1, ParleyError("upstream-closed")))
        on.client.receive_audio(SECOND)
        await on.until_ended()
        assert on.attachment.end_code == "upstream-unavailable"


async def test_a_silent_client_is_no_stall() -> None:
    async with stage(real(first_delta_timeout_s=0.02, stall_timeout_s=0.02)) as on:
        leg = await in_a_turn(on)
        on.client.receive_audio(encode_audio(pcm(0.5)))
        async with stage(real(connect_timeout_s=0.1), starts=False) as witness:
            witness.upstream.may_open.clear()
            witness.client.start()
            await witness.until_ended()
        assert on.attachment.ended == []
        assert leg.told == ["start", "audio"]


# ---- legs


async def test_a_leg_that_cannot_be_opened_ends_the_session_with_the_reason() -> None:
    async with stage(real(), starts=False) as on:
        on.upstream.fails_with = ParleyError("at-capacity", retry_after_s=2.0)
        on.client.start()
        await on.until_ended()
        assert on.attachment.end_code == "at-capacity"


async def test_a_leg_that_is_still_being_opened_is_given_up_with_the_session() -> None:
    async with stage(real(), starts=False) as on:
        on.upstream.may_open.clear()
        on.client.start()
        await on.changes.until("an opener", lambda: on.upstream.opening == 1)
        on.client.receive(ev.ClientClosed())
        await on.until_ended()
        assert on.upstream.cancelled == 1


async def test_a_leg_that_opens_after_the_end_is_closed() -> None:
    async with stage(real(), starts=False) as on:
        on.upstream.may_open.clear()
        on.client.start()
        await on.changes.until("an opener", lambda: on.upstream.opening == 1)
        on.upstream.may_open.set()
        on.client.receive(ev.ClientClosed())
        await on.until_ended()
        assert [leg.told for leg in on.upstream.legs] in ([], [["close"]])


async def test_a_leg_lost_between_turns_is_replaced_with_the_next_one() -> None:
    async with stage(real()) as on:
        first = await in_a_turn(on)
        on.runner.receive(ev.LegFailed(1, ParleyError("upstream-closed")))
        assert first.told == ["close"]
        on.client.receive_audio(SECOND)
        await on.changes.until("another leg", lambda: len(on.upstream.legs) == 2)
        await on.changes.until("the turn goes on there", lambda: on.upstream.leg.told == ["start", "audio"])
        assert on.attachment.told == []


async def test_a_cancelled_session_tells_its_client_and_closes_its_leg() -> None:
    async with stage(real()) as on:
        leg = await on.until_open()
        on.running.cancel()
        await on.until_ended()
        assert on.attachment.end_code == "shutting-down"
        assert leg.told == ["close"]


async def test_two_legs_at_a_time_are_told_apart() -> None:
    session = ScriptedSession()
    session.effects = {
        ev.TurnStarted: [ef.OpenLeg(2)],
        ev.TurnEnded: [
            ef.StartTurn(2),
            ef.SendAudio(1, SECOND),
            ef.SendAudio(2, SECOND),
            ef.EndTurn(2),
            ef.CloseLeg(1),
        ],
    }
    async with stage(session) as on:
        first = await on.until_open()
        on.client.receive(ev.TurnStarted())
        await on.changes.until("a second leg", lambda: len(on.upstream.legs) == 2)
        await asyncio.sleep(0)
        on.client.receive(ev.TurnEnded())
        assert first.told == ["audio", "close"]
        assert on.upstream.leg.told == ["start", "audio", "end"]


async def test_a_leg_that_is_not_wanted_any_more_is_not_waited_for() -> None:
    session = ScriptedSession()
    session.effects = {ev.TurnStarted: [ef.CloseLeg(1)]}
    async with stage(session, starts=False) as on:
        on.upstream.may_open.clear()
        on.client.start()
        await on.changes.until("an opener", lambda: on.upstream.opening == 1)
        on.client.receive(ev.TurnStarted())
        await on.changes.until("it is given up", lambda: on.upstream.cancelled == 1)
        assert on.attachment.ended == []


async def test_a_lost_leg_is_logged_without_content(log: LogWatch) -> None:
    async with stage(real()) as on:
        await in_a_turn(on)
        on.runner.receive(ev.LegFailed(1, ParleyError("upstream-closed", SECRET)))
        assert "session sess-test lost leg 1: upstream-closed" in [record.getMessage() for record in log.records]


# ---- speech


async def test_speech_is_measured_in_the_samples_of_all_pieces() -> None:
    session = ScriptedSession()
    session.on_handle = lambda _event: on.changes.notify()
    session.effects = {ev.TurnStarted: [ef.MeasureSpeech(7, (SECOND, SECOND))]}
    async with stage(session) as on:
        on.speech_samples = 123
        on.client.receive(ev.TurnStarted())
        await on.changes.until("the answer", lambda: ev.SpeechMeasured in session.kinds())
        assert session.handled[-1] == ev.SpeechMeasured(7, 123)
        assert on.measured == [pcm(1.0) * 2]


async def test_a_bug_in_measuring_ends_the_session(log: LogWatch) -> None:
    log.expect_errors("parley.session")
    session = ScriptedSession()
    session.effects = {ev.TurnStarted: [ef.MeasureSpeech(1, (SECOND,))]}
    async with stage(session) as on:
        on.speech_samples = BrokenError(SECRET)
        on.client.receive(ev.TurnStarted())
        await on.until_ended()
        assert on.attachment.end_code == "internal-error"


async def test_a_measurement_does_not_outlive_its_session() -> None:
    session = ScriptedSession()
    session.effects = {ev.TurnStarted: [ef.MeasureSpeech(1, (SECOND,)), ef.EndSession(None)]}
    async with stage(session) as on:
        on.client.receive(ev.TurnStarted())
        await on.until_ended()
        assert len(on.measured) == 1


# ---- attachments

RESUMED = no.Resumed(no.Outcome.RESUMED, 1, 0, (), ())


def taken_over() -> ScriptedSession:
    """A core that hands the session to any newer connection."""
    session = ScriptedSession()

    def take_over(event: ev.Event) -> None:
        if isinstance(event, ev.ResumeRequested):
            session.effects[ev.ResumeRequested] = [
                ef.CloseAttachment(session.generation, ParleyError("superseded")),
                ef.Attach(event.generation),
                ef.SendNotice(RESUMED),
            ]
            session.generation = event.generation

    session.on_handle = take_over
    return session


async def test_a_token_is_made_for_the_session_and_told_to_its_client() -> None:
    session = ScriptedSession()
    session.effects = {ev.ResumeEnabled: [ef.IssueToken()]}
    async with stage(session) as on:
        on.client.receive(ev.ResumeEnabled())
        assert on.attachment.tokens == [f"{SECRET}-sess-test"]


async def test_the_newest_connection_gets_what_follows_and_the_older_one_is_told() -> None:
    session = taken_over()
    session.effects[ev.TurnStarted] = [ef.SendDelta(Text(b'"a"'), 3, 1)]
    async with stage(session) as on:
        newer = FakeAttachment(on.changes)
        port = on.runner.resume(newer, 2)
        assert newer.told == []
        port.start()
        port.receive(ev.TurnStarted())
        assert on.attachment.end_code == "superseded"
        assert (newer.notices, newer.told, newer.seqs) == ([RESUMED], ["Resumed", "delta"], [3])


async def test_a_connection_that_was_superseded_has_no_say() -> None:
    session = taken_over()
    async with stage(session) as on:
        on.runner.resume(FakeAttachment(on.changes), 0).start()
        handled = len(session.handled)
        on.client.receive(ev.TurnStarted())
        on.client.receive_audio(SECOND)
        on.client.receive(ev.ClientClosed())
        assert len(session.handled) == handled


async def test_a_connection_that_is_refused_changes_nothing_for_the_one_that_is_there() -> None:
    session = ScriptedSession()
    session.effects = {
        ev.ResumeRequested: [ef.CloseAttachment(2, ParleyError("gap"))],
        ev.TurnStarted: [ef.SendDelta(Text(b'"a"'))],
    }
    async with stage(session) as on:
        late = FakeAttachment(on.changes)
        on.runner.resume(late, 9).start()
        on.client.receive(ev.TurnStarted())
        assert late.end_code == "gap"
        assert on.attachment.told == ["delta"]


async def test_a_connection_that_comes_while_the_session_ends_is_told() -> None:
    session = ScriptedSession()
    session.effects = {ev.TurnStarted: [ef.SendDelta(Text(b'"a"')), ef.EndSession(None)]}
    async with stage(session) as on:
        late = FakeAttachment(on.changes)
        on.attachment.on_told = lambda what: on.runner.resume(late, 0).start() if what == "delta" else None
        on.client.receive(ev.TurnStarted())
        assert late.end_code == "expired"


async def opted_in(on: Stage) -> FakeLeg:
    leg = await in_a_turn(on)
    on.client.receive(ev.ResumeEnabled())
    return leg


async def test_a_detached_session_works_on_and_its_results_reach_the_next_connection(log: LogWatch) -> None:
    async with stage(real()) as on:
        leg = await opted_in(on)
        on.client.receive_audio(SECOND)
        on.client.receive(ev.TurnEnded())
        on.client.receive(ev.ClientClosed())
        on.runner.receive_delta(1, Text(b'" a"'))
        on.upstream.finish_turn()
        assert leg.told == ["start", "audio", "end"]
        assert (on.attachment.ended, on.running.done()) == ([], False)
        newer = FakeAttachment(on.changes)
        on.runner.resume(newer, 0).start()
        assert (newer.told, newer.seqs) == (["Resumed", "delta", "done"], [1, 2])
        messages = [record.getMessage() for record in log.records]
        assert "session sess-test is detached, for 30 s at most" in messages
        assert "session sess-test is attached again: resumed" in messages


async def test_a_detached_session_ends_with_its_window() -> None:
    async with stage(real(resume_window_s=0.05)) as on:
        leg = await opted_in(on)
        on.client.receive(ev.ClientClosed())
        await on.until_ended()
        assert on.runner.outcome == "expired"
        assert leg.told[-1] == "close"


async def test_a_bug_ends_a_numbered_session_with_the_next_number(log: LogWatch) -> None:
    log.expect_errors("parley.session")
    session = ScriptedSession()
    session.effects = {ev.ResumeEnabled: [ef.IssueToken()], ev.TurnEnded: [ef.SendDelta(Text(b'"a"'), 4, 1)]}
    async with stage(session) as on:
        on.client.receive(ev.ResumeEnabled())
        on.client.receive(ev.TurnEnded())
        session.breaks_on = ev.TurnStarted
        on.client.receive(ev.TurnStarted())
        assert on.attachment.seqs == [4, 5]
        assert on.attachment.end_code == "internal-error"


async def test_a_session_that_is_abandoned_ends_without_touching_its_connection() -> None:
    async with stage(real()) as on:
        leg = await on.until_open()
        on.client.abandon()
        await on.until_ended()
        assert (on.attachment.told, leg.told, on.runner.is_abandoned) == ([], ["close"], True)
