import asyncio
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from parley.observe.marks import FACTS, Fact, Mark, MarkKind, Sample, Subject
from parley.observe.metrics.exposition import expose
from parley.observe.metrics.instruments import Instruments
from parley.observe.metrics.session_metrics import SessionMetrics

SUBJECT = Subject(session_id="sess-1", began_s=0.0, pool="own", transport="websocket")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
END: Mapping[str, Fact] = {
    "outcome": "upstream-closed",
    "fault": "upstream",
    "age_s": 12.0,
    "received_s": 9.0,
    "dropped_s": 0.0,
    "replayed_s": 0.0,
    "lost_s": 0.0,
    "held_s_most": 1.0,
    "held_bytes_most": 5000,
    "output_bytes_most": 700,
    "dropped_deltas": 3,
}


class Bench:
    def __init__(self, trace: Mapping[str, str] | None = None) -> None:
        self.registry = CollectorRegistry()
        self.metrics = SessionMetrics(Instruments(self.registry), lambda _: trace or {})

    def note(self, kind: MarkKind, **facts: Fact) -> None:
        self.at(2.0, kind, **facts)

    def at(self, at_s: float, kind: MarkKind, **facts: Fact) -> None:
        self.metrics.note(SUBJECT, Mark(kind, at_s, 0.0, facts))

    def look(self, at_s: float) -> None:
        self.metrics.sample(SUBJECT, Sample(at_s=at_s, state="live"))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("kind", "facts", "name", "labels", "value"),
    [
        (MarkKind.BEGAN, {}, "parley_sessions_started_total", {"pool": "own", "transport": "websocket"}, 1.0),
        (MarkKind.ADMITTED, {"leg": 1, "waited_s": 3.0}, "parley_queue_wait_seconds_sum", {}, 3.0),
        (MarkKind.FIRST_AUDIO_IN, {}, "parley_first_audio_seconds_sum", {}, 2.0),
        (MarkKind.TURN_FIRST_TEXT, {"turn": 1, "after_s": 0.5}, "parley_turn_first_text_seconds_sum", {}, 0.5),
        (MarkKind.TURN_FINAL, {"turn": 1, "after_s": 0.25}, "parley_turn_final_seconds_sum", {}, 0.25),
        (MarkKind.TURN_FINAL, {"turn": 1}, "parley_turns_total", {"outcome": "final"}, 1.0),
        (MarkKind.TURN_FAILED, {"turn": 1, "code": "turn-failed"}, "parley_turns_total", {"outcome": "failed"}, 1.0),
        (MarkKind.TURN_DROPPED, {"turn": 1}, "parley_turns_total", {"outcome": "dropped"}, 1.0),
        (
            MarkKind.ATTACHED,
            {"outcome": "resumed", "away_s": 2.0, "replayed_s": 0.0, "lost_s": 0.0},
            "parley_reconnects_total",
            {"outcome": "resumed"},
            1.0,
        ),
        (
            MarkKind.RECOVERED,
            {"outcome": "restarted", "took_s": 0.3, "replayed_s": 2.0, "lost_s": 1.5},
            "parley_audio_lost_seconds_total",
            {},
            1.5,
        ),
        (
            MarkKind.DROPPED,
            {"reason": "input-overrun", "audio_s": 2.5},
            "parley_audio_dropped_seconds_total",
            {"reason": "input-overrun"},
            2.5,
        ),
        (
            MarkKind.LEG_ASKED,
            {"leg": 2, "purpose": "successor"},
            "parley_legs_asked_total",
            {"purpose": "successor"},
            1.0,
        ),
        (MarkKind.LEG_OPENED, {"leg": 1, "took_s": 0.01}, "parley_leg_open_seconds_sum", {}, 0.01),
        (
            MarkKind.LEG_FAILED,
            {"leg": 1, "code": "upstream-closed", "opening": False},
            "parley_legs_failed_total",
            {"code": "upstream-closed", "phase": "open"},
            1.0,
        ),
        (MarkKind.INPUT_RESUMED, {"blocked_s": 2.0}, "parley_blocked_seconds_total", {"side": "client-input"}, 2.0),
        (MarkKind.OUTPUT_UNBLOCKED, {"blocked_s": 2.0}, "parley_blocked_seconds_total", {"side": "client-output"}, 2.0),
        (
            MarkKind.LEG_UNBLOCKED,
            {"leg": 1, "blocked_s": 2.0},
            "parley_blocked_seconds_total",
            {"side": "upstream"},
            2.0,
        ),
        (
            MarkKind.ENDED,
            END,
            "parley_sessions_ended_total",
            {"outcome": "upstream-closed", "fault": "upstream"},
            1.0,
        ),
        (MarkKind.ENDED, END, "parley_session_duration_seconds_sum", {}, 12.0),
        (MarkKind.ENDED, END, "parley_buffer_peak_bytes_sum", {}, 5000.0),
        (MarkKind.ENDED, END, "parley_output_peak_bytes_sum", {}, 700.0),
        (MarkKind.ENDED, END, "parley_deltas_dropped_total", {}, 3.0),
        (MarkKind.MOVED, {**END, "outcome": "moved", "fault": ""}, "parley_deltas_dropped_total", {}, 3.0),
    ],
)
def test_a_mark_adds_to_its_metric(
    bench: Bench, kind: MarkKind, facts: Mapping[str, Fact], name: str, labels: Mapping[str, str], value: float
) -> None:
    bench.note(kind, **facts)
    assert bench.value(name, **labels) == value


@pytest.mark.parametrize("kind", MarkKind)
def test_marks_have_all_that_is_read_of_them(bench: Bench, kind: MarkKind) -> None:
    bench.note(kind, **dict.fromkeys(FACTS[kind], 1))


def test_a_final_that_waited_for_its_client_is_no_time_of_the_models(bench: Bench) -> None:
    bench.note(MarkKind.TURN_FINAL, turn=1, after_s=60.0, held=True)
    assert bench.value("parley_turn_final_seconds_count") == 0.0
    assert bench.value("parley_turns_total", outcome="final") == 1.0


def test_a_session_that_was_begun_in_vain_has_no_duration(bench: Bench) -> None:
    bench.note(MarkKind.ENDED, **{**END, "outcome": "abandoned", "fault": ""})
    assert bench.value("parley_session_duration_seconds_count") == 0.0


def test_a_look_adds_to_what_changes_all_the_time(bench: Bench) -> None:
    sample = Sample(
        at_s=1.0,
        state="live",
        lag_s=0.4,
        model_delay_s=0.2,
        client_rtt_s=0.01,
        upstream_rtt_s=0.002,
        input_late_s=0.1,
        has_leg=True,
        uncommitted_s=3.0,
        buffer_bytes=9_000,
    )
    bench.metrics.sample(SUBJECT, sample)
    sums = {
        "lag_seconds": 0.4,
        "commit_lag_seconds": 3.0,
        "model_delay_seconds": 0.2,
        "client_round_trip_seconds": 0.01,
        "upstream_round_trip_seconds": 0.002,
        "input_late_seconds": 0.1,
        "buffer_bytes": 9_000.0,
    }
    assert {name: bench.value(f"parley_{name}_sum") for name in sums} == sums


def test_what_nobody_can_tell_is_not_counted(bench: Bench) -> None:
    bench.metrics.sample(SUBJECT, Sample(at_s=1.0, state="detached"))
    for name in ("model_delay", "client_round_trip", "upstream_round_trip", "input_late"):
        assert bench.value(f"parley_{name}_seconds_count") == 0.0


def test_audio_is_counted_once_while_it_comes(bench: Bench) -> None:
    bench.note(MarkKind.BEGAN)
    for received_s in (1.0, 3.0, 3.0, 8.0):
        bench.metrics.sample(SUBJECT, Sample(at_s=1.0, state="live", received_s=received_s))
    bench.note(MarkKind.ENDED, **END)
    assert bench.value("parley_audio_received_seconds_total") == 9.0


def test_audio_that_another_node_has_counted_is_not_counted_again(bench: Bench) -> None:
    bench.metrics.note(SUBJECT, Mark(MarkKind.BEGAN, 0.0, 5.0, {"taken_over": True}))
    bench.metrics.sample(SUBJECT, Sample(at_s=1.0, state="live", received_s=6.0))
    assert bench.value("parley_audio_received_seconds_total") == 1.0


def test_what_messages_take_is_counted_by_direction(bench: Bench) -> None:
    bench.metrics.forwarded("up", 0.002)
    bench.metrics.forwarded("down", -0.001)
    assert bench.value("parley_forwarding_seconds_sum", direction="up") == 0.002
    assert bench.value("parley_forwarding_seconds_sum", direction="down") == 0.0


BLOCKED = [
    (MarkKind.INPUT_PAUSED, MarkKind.INPUT_RESUMED, {}, "client-input"),
    (MarkKind.OUTPUT_BLOCKED, MarkKind.OUTPUT_UNBLOCKED, {}, "client-output"),
    (MarkKind.LEG_BLOCKED, MarkKind.LEG_UNBLOCKED, {"leg": 3}, "upstream"),
]


@pytest.mark.parametrize(("begin", "end", "facts", "side"), BLOCKED)
def test_who_does_not_read_is_counted_while_it_lasts_and_once(
    bench: Bench, begin: MarkKind, end: MarkKind, facts: Mapping[str, Fact], side: str
) -> None:
    counted: list[float | None] = []
    bench.at(2.0, begin, **facts)
    for at_s in (3.0, 5.5):
        bench.look(at_s)
        counted.append(bench.value("parley_blocked_seconds_total", side=side))
    bench.at(6.0, end, **facts, blocked_s=4.0)
    bench.look(9.0)
    counted.append(bench.value("parley_blocked_seconds_total", side=side))
    assert counted == [1.0, 3.5, 4.0]


def test_legs_that_stand_still_are_counted_each(bench: Bench) -> None:
    bench.at(1.0, MarkKind.LEG_BLOCKED, leg=1)
    bench.at(2.0, MarkKind.LEG_BLOCKED, leg=2)
    bench.look(3.0)
    bench.at(4.0, MarkKind.LEG_UNBLOCKED, leg=1, blocked_s=3.0)
    bench.look(5.0)
    assert bench.value("parley_blocked_seconds_total", side="upstream") == 6.0


def test_nothing_is_kept_of_a_session_that_is_over(bench: Bench) -> None:
    bench.note(MarkKind.BEGAN)
    bench.note(MarkKind.OUTPUT_BLOCKED)
    bench.note(MarkKind.ENDED, **END)
    assert bench.metrics.sessions_kept == 0


async def test_openmetrics_names_the_trace_of_an_example() -> None:
    bench = Bench({"trace_id": TRACE, "span_id": SPAN})
    bench.note(MarkKind.TURN_FINAL, turn=1, after_s=0.25)
    text, content_type = await expose(bench.registry, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert f'# {{span_id="{SPAN}",trace_id="{TRACE}"}} 0.25' in text.decode()


async def test_plain_text_is_what_everybody_else_gets(bench: Bench) -> None:
    bench.note(MarkKind.TURN_DROPPED, turn=1)
    text, content_type = await expose(bench.registry, "")
    assert content_type.startswith("text/plain")
    assert 'parley_turns_total{outcome="dropped"} 1.0' in text.decode()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_a_piecewise_exposition_is_what_prometheus_client_writes_at_once(bench: Bench, accept: str) -> None:
    bench.note(MarkKind.TURN_FINAL, turn=1, after_s=0.25)
    encode, content_type = choose_encoder(accept)
    at_once = [line for line in encode(bench.registry).decode().splitlines() if "_created" not in line]
    text, found_type = await expose(bench.registry, accept)
    assert text.decode().splitlines() == at_once
    assert found_type == content_type


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_others_have_their_turn_while_metrics_are_written(bench: Bench, accept: str) -> None:
    turns = 0
    writing = asyncio.ensure_future(expose(bench.registry, accept))
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > len(list(bench.registry.collect())) / 2
    assert writing.result()[0].decode().count("# EOF") == (1 if accept else 0)
