"""A client's stream as an attachment of a session: messages are parts, and every end is explicit."""

import json

import pytest

from parley.access.caller import NOBODY
from parley.access.gate import Gate
from parley.core import events as ev
from parley.core import notices as no
from parley.core.content import Text
from parley.core.errors import ERRORS, Fault, ParleyError
from parley.core.usage import Usage
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from tests.ingress.http2.streams import QUICK, Endpoint, Stream, make_request, open_on, open_stream, part
from tests.support.ingress import StubHost, StubSession

pytestmark = pytest.mark.usefixtures("log")

QUERY = "X-Amzn-SageMaker-Model-Query-String"
START = b'{"type":"input_audio_buffer.commit"}'
CANCEL = 8


def opened(limits: StreamLimits | None = None, query: str = "") -> tuple[Stream, StubSession]:
    """A stream and the session that began with it."""
    host = StubHost()
    stream = open_stream(Endpoint(host), make_request(headers={QUERY: query} if query else {}), limits=limits)
    return stream, host.sessions[0]


def kinds(session: StubSession) -> list[type]:
    return [type(event) for event in session.events]


# ---- what the client says


async def test_a_part_is_a_message() -> None:
    stream, session = opened()
    stream.say("session.update", model="voxtral", parley={"resume": True})
    stream.say("input_audio_buffer.append", audio="AAE=")
    assert kinds(session) == [ev.ModelNamed, ev.ResumeEnabled, ev.AudioReceived]


async def test_an_invalid_message_is_the_sessions_to_answer() -> None:
    stream, session = opened()
    stream.send(part(b"{"))
    (rejected,) = session.events
    assert isinstance(rejected, ev.InputRejected)
    assert rejected.error.code == "invalid-json"
    assert not stream.exchange.is_finished


async def test_parts_of_a_message_are_joined_up_to_the_complete_one() -> None:
    stream, session = opened()
    for piece in (START[:1], b"", START[1:9]):
        stream.send(part(piece, is_complete=False))
    assert session.events == []
    stream.send(part(START[9:]), part(START))
    assert kinds(session) == [ev.TurnStarted, ev.TurnStarted]


async def test_the_first_part_says_what_a_joined_message_is() -> None:
    stream, session = opened()
    stream.send(part(b"x", is_text=False, is_complete=False), part(START, is_text=True))
    stream.send(part(START[:3], is_text=True, is_complete=False), part(START[3:], is_text=False))
    rejected, started = session.events
    assert isinstance(rejected, ev.InputRejected)
    assert rejected.error.code == "binary-frame"
    assert isinstance(started, ev.TurnStarted)


async def test_a_joined_message_is_bounded_and_so_is_what_empty_parts_cost() -> None:
    for piece in (b"x" * 100, b""):
        stream, session = opened(StreamLimits(message_max_bytes=1_000))
        sent = 0
        while not stream.exchange.is_finished:
            stream.send(part(piece, is_complete=False))
            sent += 1
        assert sent <= 16
        assert stream.exchange.failure.code == "message-too-large"
        assert isinstance(session.events[-1], ev.ClientClosed)


async def test_json_is_taken_in_binary_parts_and_nothing_else_is() -> None:
    stream, session = opened()
    stream.send(part(START, is_text=False), part(b"\0\1", is_text=False), part(b"", is_text=False))
    started, *rejected = session.events
    assert isinstance(started, ev.TurnStarted)
    assert [one.error.code for one in rejected if isinstance(one, ev.InputRejected)] == ["binary-frame"] * 2


async def test_the_end_of_the_input_is_told_and_the_session_goes_on() -> None:
    stream, session = opened()
    stream.say("input_audio_buffer.commit")
    stream.handler.input_ended()
    assert kinds(session) == [ev.TurnStarted, ev.InputFinished]
    session.attachment.send_done(Text(b'"late"'), Usage())
    session.attachment.end(None)
    assert stream.exchange.events[-1]["text"] == "late"
    assert stream.exchange.is_finished


async def test_an_end_in_the_middle_of_a_message_is_a_broken_stream() -> None:
    stream, session = opened()
    stream.send(part(START, is_complete=False))
    stream.handler.input_ended()
    assert stream.exchange.failure.code == "invalid-event-stream"
    assert kinds(session) == [ev.ClientClosed]


async def test_a_lost_stream_is_told_to_the_session() -> None:
    stream, session = opened()
    stream.handler.lost()
    assert kinds(session) == [ev.ClientClosed]
    written = len(stream.exchange.body)
    session.attachment.send_delta(Text(b'"late"'))
    session.attachment.end(ParleyError("expired"))
    assert len(stream.exchange.body) == written


async def test_a_client_that_does_not_read_is_reported_and_so_is_that_it_reads_again() -> None:
    stream, session = opened()
    stream.handler.writing_blocked()
    stream.handler.writing_unblocked()
    assert kinds(session) == [ev.ClientBlocked, ev.ClientUnblocked]


async def test_a_paused_client_is_not_read_until_it_is_resumed() -> None:
    stream, session = opened()
    session.attachment.pause_input()
    assert stream.exchange.is_paused
    session.attachment.resume_input()
    assert not stream.exchange.is_paused


# ---- what it is told


async def test_results_are_parts_of_text_each_complete() -> None:
    stream, session = opened()
    attachment = session.attachment
    attachment.send_delta(Text(b'" a"'), 1, 1)
    attachment.send_done(Text(b'" a"'), Usage(), 2, 1)
    attachment.send_notice(no.InputAcked(3, 16_000))
    attachment.send_token("t0ken", 30.0)
    attachment.send_error(ParleyError("invalid-json"), 3)
    assert [event["type"] for event in stream.exchange.events[1:]] == [
        "transcription.delta",
        "transcription.done",
        "session.ack",
        "session.updated",
        "error",
    ]
    assert not stream.exchange.is_finished


async def test_an_end_without_an_error_has_no_exception() -> None:
    stream, session = opened()
    session.attachment.end(None)
    assert len(stream.exchange.responses) == 1
    assert stream.exchange.is_finished


@pytest.mark.parametrize("code", ERRORS)
async def test_every_error_ends_a_stream_with_an_event_and_the_exception_of_whose_fault_it_is(code: str) -> None:
    stream, session = opened()
    error = ParleyError(code, "It was so.", retry_after_s=3.0)
    session.attachment.end(error)
    failure = stream.exchange.failure
    if ERRORS[code].fault is Fault.SERVER:
        assert (failure.kind, failure.message) == ("InternalStreamFailure", f"{code}: {error.message}")
    else:
        assert (failure.kind, failure.code, failure.message) == ("ModelStreamError", code, error.message)
    assert stream.exchange.events[-1]["parley"]["code"] == code
    assert stream.exchange.events[-1]["parley"]["retry_after_s"] == 3.0


@pytest.mark.parametrize(("code", "seqs"), [("upstream-unavailable", [7, 8]), (None, [7])])
async def test_a_session_that_has_ended_says_so_last(code: str | None, seqs: list[int]) -> None:
    stream, session = opened()
    session.attachment.end(ParleyError(code) if code else None, 7)
    events = stream.exchange.events[1:]
    assert [event["seq"] for event in events] == seqs
    assert (events[-1]["type"], events[-1]["reason"]) == ("session.ended", code or "client-ended")


async def test_nothing_follows_an_end() -> None:
    stream, session = opened()
    session.attachment.end(ParleyError("superseded"))
    session.attachment.send_delta(Text(b'"late"'))
    session.attachment.end(ParleyError("internal-error"), 7)
    assert stream.exchange.failure.code == "superseded"


async def test_a_client_that_does_not_read_its_end_is_cut() -> None:
    stream, session = opened(QUICK)
    session.attachment.end(ParleyError("slow-client"))
    assert await stream.exchange.until_reset() == CANCEL


async def test_a_session_that_ends_while_it_is_told_something_is_not_told_more() -> None:
    stream, session = opened()
    session.attachment.end(ParleyError("too-many-errors"))
    stream.send(part(b"{") * 3)
    assert stream.exchange.failure.code == "too-many-errors"


async def test_being_blocked_may_be_reported_from_within_a_write() -> None:
    stream, session = opened()
    stream.exchange.blocks_at_bytes = len(stream.exchange.body) + 100
    session.attachment.send_delta(Text(json.dumps("x" * 200).encode()))
    assert kinds(session) == [ev.ClientBlocked]


# ---- which session


async def test_who_comes_back_is_let_in_although_no_session_could_begin() -> None:
    host = StubHost()
    host.refuses_check = host.refuses_open = ParleyError("at-capacity")
    stream = open_stream(Endpoint(host), make_request(headers={QUERY: "resume=1"}))
    assert [event["type"] for event in stream.exchange.events] == ["session.created"]
    stream.say("session.resume", token="t0ken", seq=7)
    assert host.claims == [("t0ken", 7, NOBODY)]
    stream.say("input_audio_buffer.commit")
    assert kinds(host.sessions[0]) == [ev.TurnStarted]


async def test_a_refused_claim_ends_the_stream_with_its_reason() -> None:
    host = StubHost()
    host.refuses_resume = ParleyError("expired")
    stream = open_stream(Endpoint(host), make_request(headers={QUERY: "resume=1"}))
    stream.say("session.resume", token="t0ken", seq=7)
    assert (stream.exchange.failure.kind, stream.exchange.failure.code) == ("ModelStreamError", "expired")
    assert [event["type"] for event in stream.exchange.events] == ["session.created", "error"]


async def test_what_comes_behind_a_refused_claim_is_not_heard() -> None:
    host = StubHost()
    host.refuses_resume = ParleyError("expired")
    stream = open_stream(Endpoint(host), make_request(headers={QUERY: "resume=1"}))
    claim = part(b'{"type":"session.resume","token":"t0ken","seq":7}')
    stream.send(claim + part(START) + part(b"\0", is_text=False))
    assert stream.exchange.failure.code == "expired"
    assert host.sessions == []


async def test_a_session_that_was_begun_in_vain_is_dropped() -> None:
    stream, begun = opened()
    stream.say("session.resume", token="t0ken", seq=7)
    assert begun.is_abandoned
    assert begun.events == []


async def test_a_claim_that_is_not_the_first_message_is_invalid() -> None:
    stream, session = opened()
    stream.say("input_audio_buffer.commit")
    stream.say("session.resume", token="t0ken", seq=7)
    rejected = session.events[-1]
    assert isinstance(rejected, ev.InputRejected)
    assert rejected.error.code == "invalid-event"


async def test_a_host_that_keeps_no_session_gives_everybody_a_new_one() -> None:
    host = StubHost()
    host.resume_window_s = 0.0
    open_stream(Endpoint(host), make_request(headers={QUERY: "resume=1"}))
    assert host.sessions[0].is_started


@pytest.mark.parametrize(("query", "wanted"), [("empty_deltas=1", True), ("empty_deltas=0", False), ("a=b", None)])
async def test_the_query_says_whether_empty_deltas_are_wanted(query: str, *, wanted: bool | None) -> None:
    asked = []

    class Host(StubHost):
        def open(self, *args: object, **options: object) -> StubSession:
            asked.append(options["forward_empty_deltas"])
            return super().open(*args)  # type: ignore[arg-type]

    open_stream(Endpoint(Host()), make_request(headers={QUERY: query}))
    assert asked == [wanted]


async def test_who_waits_too_long_is_refused() -> None:
    stream = open_stream(request=make_request(headers={QUERY: "resume=1"}), limits=QUICK)
    await stream.exchange.until_finished()
    assert stream.exchange.failure.code == "bad-request"


async def test_no_more_may_wait_than_there_are_places() -> None:
    bidirectional = Bidirectional(Endpoint(StubHost()), Gate(), StreamLimits(waiting_max=2))
    request = make_request(headers={QUERY: "resume=1"})
    first, second, third = (open_on(bidirectional, request) for _ in range(3))
    assert third.exchange.error["ErrorCode"] == "at-capacity"
    assert third.exchange.headers["retry-after"] == "10"
    first.handler.lost()
    assert open_on(bidirectional, request).exchange.status == 200
    second.say("session.resume", token="t0ken", seq=7)
    assert open_on(bidirectional, request).exchange.status == 200
    assert open_on(bidirectional, request).exchange.status == 503


async def test_a_place_is_free_again_when_its_stream_broke() -> None:
    bidirectional = Bidirectional(Endpoint(StubHost()), Gate(), StreamLimits(waiting_max=1))
    request = make_request(headers={QUERY: "resume=1"})
    open_on(bidirectional, request).send(b"no event stream at all")
    assert open_on(bidirectional, request).exchange.status == 200


async def test_who_comes_back_and_says_nothing_is_refused_at_the_end_of_its_input() -> None:
    host = StubHost()
    stream = open_stream(Endpoint(host), make_request(headers={QUERY: "resume=1"}))
    stream.handler.input_ended()
    assert stream.exchange.failure.code == "bad-request"
    assert host.sessions == []


async def test_who_waits_is_told_of_the_end() -> None:
    bidirectional = Bidirectional(Endpoint(StubHost()), Gate())
    stream = open_on(bidirectional, make_request(headers={QUERY: "resume=1"}))
    await bidirectional.close()
    failure = stream.exchange.failure
    assert failure.kind == "InternalStreamFailure"
    assert failure.message.startswith("shutting-down: ")
