from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from parley.observe.marks import Mark, Sample
from parley.observe.marks import MarkKind as Kind
from parley.observe.tracing.session_trace import EVENTS_MAX, OPEN_SPANS_MAX
from parley.observe.tracing.sink import TraceSink

from .spans import PARENT, SUBJECT, TRACE, TRACEPARENT, Told, facts

TRACED = replace(SUBJECT, traceparent=TRACEPARENT, tracestate="vendor=1")
LEFT_OUT = replace(SUBJECT, traceparent=f"00-{TRACE}-{PARENT}-00")


def an_eventful_session(told: Told) -> None:
    """Waits for a stream, loses its client and has it back, loses its stream and has another."""
    told.begin()
    told(Kind.QUEUED, 0.0, leg=1, position=3)
    told(Kind.ADMITTED, 1.0, leg=1, waited_s=1.0)
    told(Kind.LEG_OPENED, 1.25, leg=1, took_s=1.25)
    told(Kind.FIRST_AUDIO_IN, 1.5)
    told(Kind.TURN_BEGAN, 1.5, turn=1)
    told(Kind.FIRST_AUDIO_OUT, 1.5, leg=1)
    told(Kind.DETACHED, 2.0)
    told(Kind.ATTACHED, 3.0, outcome="resumed", away_s=1.0, replayed_s=0.0, lost_s=0.0)
    told(Kind.LEG_FAILED, 4.0, leg=1, code="upstream-closed", opening=False)
    told(Kind.LEG_ASKED, 4.0, leg=2, purpose="recovery")
    told(Kind.RECOVERING, 4.0, reason="upstream-closed")
    told(Kind.LEG_OPENED, 4.5, leg=2, took_s=0.5)
    told(Kind.RECOVERED, 5.0, outcome="rehydrated", replayed_s=2.5, lost_s=0.0, took_s=1.0)
    told(Kind.TURN_FIRST_TEXT, 5.25, turn=1, after_s=3.75)
    told(Kind.TURN_SPEECH_ENDED, 6.0, turn=1, audio_s=4.5)
    told(Kind.TURN_FINAL, 6.25, turn=1, after_s=0.25)
    told(Kind.LEG_CLOSED, 7.0, leg=2)
    told.end(7.0)


def test_a_session_is_a_tree_of_spans_whose_times_are_those_of_its_marks() -> None:
    told = Told(TRACED)
    an_eventful_session(told)
    assert sorted(told.tree) == sorted(
        [
            "session < client -0.02-7",
            "attachment < session -0.02-2",
            "leg < session 0-4",
            "queue < leg 0-1",
            "turn < session 1.5-6.25",
            "attachment < session 3-7",
            "leg < session 4-7",
            "replay < session 4-5",
        ]
    )


def test_all_spans_are_of_the_clients_own_trace_and_the_sessions_is_under_its_span() -> None:
    told = Told(TRACED)
    an_eventful_session(told)
    assert {trace.format_trace_id(span.context.trace_id) for span in told.spans} == {TRACE}
    parent = told.only("session").parent
    assert parent is not None
    assert parent.is_remote
    assert trace.format_span_id(parent.span_id) == PARENT


def test_a_session_whose_client_has_no_trace_begins_its_own() -> None:
    told = Told()
    an_eventful_session(told)
    assert told.only("session").parent is None
    assert len({span.context.trace_id for span in told.spans}) == 1


def test_every_span_says_whose_it_is_and_on_which_model() -> None:
    told = Told()
    an_eventful_session(told)
    for span in told.spans:
        assert span.attributes is not None
        assert span.attributes["session.id"] == "sess-1"
        assert span.attributes["gen_ai.request.model"] == "voxtral"
        assert span.attributes["gen_ai.operation.name"] == "transcription"
    assert {span.name: span.kind for span in told.spans} == {
        "parley.session": SpanKind.SERVER,
        "parley.leg": SpanKind.CLIENT,
        **dict.fromkeys(("parley.attachment", "parley.queue", "parley.turn", "parley.replay"), SpanKind.INTERNAL),
    }


def test_a_session_says_where_it_was_and_how_much_it_took() -> None:
    told = Told()
    an_eventful_session(told)
    assert facts(told.only("session")) == {
        "parley.pool": "own",
        "parley.tenant": "acme",
        "parley.transport": "websocket",
        "parley.outcome": "client-closed",
        "parley.received_s": 2.5,
    }


def test_a_turn_says_how_long_it_took_and_when_its_text_began() -> None:
    told = Told()
    an_eventful_session(told)
    turn = told.only("turn")
    assert facts(turn) == {
        "parley.turn": 1,
        "parley.cursor_s": 1.5,
        "parley.after_s": 0.25,
        "parley.outcome": "final",
    }
    assert [event.name for event in turn.events] == ["turn-first-text", "turn-speech-ended"]
    assert dict(turn.events[0].attributes or {}) == {
        "parley.turn": 1,
        "parley.after_s": 3.75,
        "parley.cursor_s": 5.25,
    }


def test_a_replay_says_why_and_how_much() -> None:
    told = Told()
    an_eventful_session(told)
    replay = facts(told.only("replay"))
    assert replay["parley.reason"] == "upstream-closed"
    assert replay["parley.outcome"] == "rehydrated"
    assert replay["parley.replayed_s"] == 2.5


def test_a_leg_that_failed_says_what_with_and_the_session_goes_on() -> None:
    told = Told()
    an_eventful_session(told)
    first, second = told.named("leg")
    assert facts(first)["error.type"] == "upstream-closed"
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET
    assert told.only("session").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("fault", "status"),
    [("server", StatusCode.ERROR), ("upstream", StatusCode.ERROR), ("client", StatusCode.UNSET)],
)
def test_a_session_that_ends_with_an_error_says_which_and_failed_unless_it_was_its_clients(
    fault: str, status: StatusCode
) -> None:
    told = Told()
    told.begin()
    told.end(1.0, "some-error", fault)
    session = told.only("session")
    assert facts(session)["error.type"] == "some-error"
    assert session.status.status_code is status


def test_backpressure_and_drops_are_events_of_the_session_and_a_legs_own_of_the_leg() -> None:
    told = Told()
    told.begin()
    told(Kind.INPUT_PAUSED, 1.0)
    told(Kind.LEG_BLOCKED, 1.0, leg=1)
    told(Kind.DROPPED, 1.5, reason="input-overrun", audio_s=0.5)
    told.end(2.0)
    names = [event.name for event in told.only("session").events]
    assert names == ["authenticated", "began", "input-paused", "dropped"]
    assert [event.name for event in told.only("leg").events] == ["leg-blocked"]


def test_what_is_open_at_the_end_ends_with_the_session() -> None:
    told = Told()
    told.begin()
    told(Kind.QUEUED, 0.0, leg=1, position=1)
    told(Kind.TURN_BEGAN, 1.0, turn=1)
    told(Kind.RECOVERING, 1.5, reason="upstream-closed")
    told(Kind.MOVED, 2.0, outcome="moved", fault="")
    assert {line.rpartition("-")[2] for line in told.tree} == {"2"}
    assert facts(told.only("turn"))["parley.outcome"] == "unfinished"
    assert facts(told.only("replay"))["parley.outcome"] == "unfinished"
    assert "parley.outcome" not in facts(told.only("leg"))
    assert told.sink.open_sessions == 0


def test_a_session_from_another_node_says_so_and_has_no_attachment_before_its_client_comes() -> None:
    told = Told()
    told(Kind.BEGAN, 0.0, taken_over=True)
    told(Kind.ATTACHED, 2.0, outcome="resumed")
    told.end(3.0)
    assert told.tree == ["session < nobody 0-3", "attachment < session 2-3"]
    assert facts(told.only("session"))["parley.taken_over"] is True


def test_a_connection_that_takes_over_from_one_that_is_still_there_ends_it() -> None:
    told = Told()
    told.begin()
    told(Kind.ATTACHED, 2.0, outcome="resumed")
    told.end(3.0)
    assert [line for line in told.tree if line.startswith("attachment")] == [
        "attachment < session -0.02-2",
        "attachment < session 2-3",
    ]


def test_marks_after_the_end_are_passed_over() -> None:
    told = Told()
    told.begin()
    told.end(1.0)
    told(Kind.LEG_CLOSED, 1.1, leg=1)
    assert told.sink.open_sessions == 0


def test_open_spans_are_bounded_and_those_beyond_are_counted() -> None:
    told = Told()
    told.begin()
    for turn in range(2 * OPEN_SPANS_MAX):
        told(Kind.TURN_BEGAN, 1.0, turn=turn)
    for turn in range(2 * OPEN_SPANS_MAX):
        told(Kind.TURN_FINAL, 2.0, turn=turn)
    told.end(3.0)
    # Of all, the connection and the leg were open as well.
    assert len(told.named("turn")) == OPEN_SPANS_MAX - 2
    assert facts(told.only("session"))["parley.spans_left_out"] == OPEN_SPANS_MAX + 2


def test_a_spans_events_are_bounded_and_those_beyond_are_counted() -> None:
    told = Told()
    told.begin()
    for _ in range(EVENTS_MAX):
        told(Kind.INPUT_PAUSED, 1.0)
    told.end(2.0)
    session = told.only("session")
    assert len(session.events) == EVENTS_MAX
    assert facts(session)["parley.events_left_out"] == 2


def test_a_legs_headers_name_its_span_and_carry_what_the_client_sent_along() -> None:
    told = Told(TRACED)
    told.begin()
    headers = told.sink.headers("sess-1", 1)
    told.end(1.0)
    leg = told.only("leg")
    assert headers == {
        "traceparent": f"00-{TRACE}-{trace.format_span_id(leg.context.span_id)}-01",
        "tracestate": "vendor=1",
    }


def test_a_session_that_nobody_knows_has_no_headers() -> None:
    assert Told().sink.headers("sess-2", 1) == {}


def test_a_session_that_its_clients_trace_leaves_out_has_no_spans_and_tells_its_model_server_so() -> None:
    told = Told(LEFT_OUT, ParentBased(ALWAYS_OFF))
    told.begin()
    assert told.sink.headers("sess-1", 1)["traceparent"].endswith("-00")
    told.end(1.0)
    assert told.spans == []
    assert told.sink.open_sessions == 0


def test_without_an_sdk_the_clients_trace_goes_on_to_the_model_server_as_it_came() -> None:
    sink = TraceSink(NoOpTracerProvider())
    sink.note(TRACED, Mark(Kind.BEGAN, 0.0, 0.0))
    sink.note(TRACED, Mark(Kind.LEG_ASKED, 0.0, 0.0, {"leg": 1}))
    assert sink.headers("sess-1", 1) == {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}


def test_without_an_sdk_and_a_clients_trace_there_are_no_headers() -> None:
    sink = TraceSink(NoOpTracerProvider())
    sink.note(SUBJECT, Mark(Kind.BEGAN, 0.0, 0.0))
    assert sink.headers("sess-1", 1) == {}


def test_the_trace_of_a_session_is_known_while_it_lives() -> None:
    told = Told(TRACED)
    told.begin()
    assert told.sink.trace_id("sess-1") == TRACE
    told.end(1.0)
    assert told.sink.trace_id("sess-1") == ""


def test_a_session_that_is_not_recorded_has_no_trace_to_be_looked_for() -> None:
    told = Told(LEFT_OUT, ParentBased(ALWAYS_OFF))
    told.begin()
    assert told.sink.trace_id("sess-1") == ""


def test_samples_make_no_spans() -> None:
    told = Told()
    told.begin()
    told.sink.sample(SUBJECT, Sample(at_s=1.0, state="live"))
    told.end(1.0)
    assert len(told.spans) == 3
