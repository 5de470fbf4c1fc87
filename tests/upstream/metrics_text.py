"""What a vLLM server answers to `GET /metrics`: the part of it that matters, and of each other kind a bit."""


def metrics_text(
    *, running: float = 1, capacity: float = 0, deferred: float = 0, kv: float = 0.02, preemptions: float = 0
) -> bytes:
    labels = 'engine="0",model_name="voxtral"'
    return f"""\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 8923.0
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1.5e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} {capacity + deferred}
# HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} {capacity}
vllm:num_requests_waiting_by_reason{{{labels},reason="deferred"}} {deferred}
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{{labels}}} {kv}
# HELP vllm:num_preemptions_total Cumulative number of preemptions from the engine.
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{{labels}}} {preemptions}
# HELP vllm:num_preemptions_created Cumulative number of preemptions from the engine.
# TYPE vllm:num_preemptions_created gauge
vllm:num_preemptions_created{{{labels}}} 1.7954e+09
# HELP vllm:inter_token_latency_seconds Histogram of inter-token latency in seconds.
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{{{labels},le="0.01"}} 0.0
vllm:inter_token_latency_seconds_bucket{{{labels},le="+Inf"}} 60.0
vllm:inter_token_latency_seconds_count{{{labels}}} 60.0
vllm:inter_token_latency_seconds_sum{{{labels}}} 4.81
# HELP vllm:websocket_connections_active Number of active WebSocket connections.
# TYPE vllm:websocket_connections_active gauge
vllm:websocket_connections_active 3.0
""".encode()
