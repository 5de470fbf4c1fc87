"""How busy vLLM's engines are, from the text of their metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from parley.upstream.health.engine_metrics import EngineLoad, read_load
from tests.upstream.metrics_text import metrics_text


def test_the_load_of_one_engine_is_read() -> None:
    text = metrics_text(running=2, capacity=3, deferred=14, kv=0.25, preemptions=7)
    assert read_load(text) == EngineLoad(
        running=2, waiting=17, waiting_for_capacity=3, waiting_for_audio=14, kv_cache_usage=0.25, preemptions=7
    )


def test_engines_are_summed_and_the_fullest_cache_counts() -> None:
    text = b"""\
vllm:num_requests_running{engine="0"} 1
vllm:num_requests_running{engine="1"} 2
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 1
vllm:num_requests_waiting_by_reason{engine="1",reason="capacity"} 4
vllm:kv_cache_usage_perc{engine="0"} 0.75
vllm:kv_cache_usage_perc{engine="1"} 0.5
"""
    assert read_load(text) == EngineLoad(running=3, waiting_for_capacity=5, kv_cache_usage=0.75)


def test_the_text_that_prometheus_own_library_writes_is_read() -> None:
    registry = CollectorRegistry()
    labels = ["engine", "model_name", "reason"]
    waiting = Gauge("vllm:num_requests_waiting_by_reason", "Waiting.", labels, registry=registry)
    waiting.labels("0", 'a "quoted", odd\\ {name}\nreason="capacity"', "deferred").set(5)
    waiting.labels("0", "m", "capacity").set(2)
    Counter("vllm:num_preemptions", "Preemptions.", ["engine"], registry=registry).labels("0").inc(3)
    load = read_load(generate_latest(registry))
    assert load == EngineLoad(waiting_for_capacity=2, waiting_for_audio=5, preemptions=3)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>not found</html>",
        b"parley_engine_sessions 3.0\n",
        b"# TYPE vllm:num_requests_running gauge\n",
        b"vllm:websocket_connections_active 3.0\n",
        b"vllm:num_requests_running\n",
        b"vllm:num_requests_running one\n",
        b"vllm:num_requests_running NaN\n",
        b"vllm:num_requests_running +Inf\n",
        b"vllm:num_requests_running -1\n",
        b"vllm:num_requests_running{\xff 1 2 3\n",
        b'vllm:num_requests_running{engine="%b"} 1\n' % (b"0" * 5_000),
        b'vllm:num_requests_waiting_by_reason{engine="0"} 1\n',
        b'vllm:num_requests_waiting_by_reason{reason="another"} 1\n',
        b'vllm:num_requests_waiting_by_reason{xreason="capacity"} 1\n',
    ],
)
def test_a_text_without_the_numbers_tells_nothing(text: bytes) -> None:
    assert read_load(text) is None


def test_a_time_behind_the_value_is_passed_over() -> None:
    assert read_load(b"vllm:num_requests_running 4 1795400000000\n") == EngineLoad(running=4)


def test_a_cache_is_never_more_than_full() -> None:
    assert read_load(b"vllm:kv_cache_usage_perc 17\n") == EngineLoad(kv_cache_usage=1.0)


@given(st.binary(max_size=200))
def test_no_text_breaks_the_reader(noise: bytes) -> None:
    lines = [b"vllm:num_requests_running" + noise, b"vllm:num_requests_running{" + noise + b"} 1", noise]
    load = read_load(b"\n".join(lines))
    assert load is None or load.running >= 0
