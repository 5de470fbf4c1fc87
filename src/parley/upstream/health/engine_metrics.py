"""How busy a vLLM server's engines say they are: the few numbers of its `/metrics` that Parley looks at.

vLLM counts realtime streams that wait for audio as waiting requests, with the reason `deferred`. Only those with the
reason `capacity` are queued indeed. So none of these numbers says that a server is broken; one says that it is full.
"""

import math
import re
from dataclasses import dataclass

_PREFIX = b"vllm:"
_NAMES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:num_requests_waiting_by_reason": "waiting_by_reason",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
    "vllm:num_preemptions_total": "preemptions",
}
_REASONS = {"capacity": "waiting_for_capacity", "deferred": "waiting_for_audio"}
_LINE_MAX_BYTES = 4_096
# One sample: its name, its labels, its value; a time may follow (Prometheus's text format 0.0.4).
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s*(?P<value>\S+)(?:\s+-?\d+)?\s*", re.ASCII)
_REASON = re.compile(r'(?:^|,)\s*reason\s*=\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What the engines behind one server say together.

    Requests that run, that wait, and of those the ones that wait for room (`waiting_for_capacity`) or for their next
    audio (`waiting_for_audio`); the fullest engine's share of its KV cache, 0 to 1; preemptions since it started.
    """

    running: int = 0
    waiting: int = 0
    waiting_for_capacity: int = 0
    waiting_for_audio: int = 0
    kv_cache_usage: float = 0.0
    preemptions: int = 0


def read_load(text: bytes) -> EngineLoad | None:
    """The load that a `/metrics` answer tells; None where it has none of vLLM's numbers.

    Samples that can't be read are passed over, as are all others.
    """
    counts: dict[str, float] = {}
    kv_cache_usage = 0.0
    is_vllms = False
    for line in text.splitlines():
        sample = _sample(line) if line.startswith(_PREFIX) else None
        if sample is None:
            continue
        is_vllms = True
        name, value = sample
        if name == "kv_cache_usage":
            kv_cache_usage = max(kv_cache_usage, min(value, 1.0))
        else:
            counts[name] = counts.get(name, 0.0) + value
    if not is_vllms:
        return None
    return EngineLoad(
        running=int(counts.get("running", 0)),
        waiting=int(counts.get("waiting", 0)),
        waiting_for_capacity=int(counts.get("waiting_for_capacity", 0)),
        waiting_for_audio=int(counts.get("waiting_for_audio", 0)),
        kv_cache_usage=kv_cache_usage,
        preemptions=int(counts.get("preemptions", 0)),
    )


def _sample(line: bytes) -> tuple[str, float] | None:
    """The field that a line is of, and its value; None for all other lines."""
    # The names are short and come first: most lines are told by them, unparsed.
    name = line[:64].partition(b"{")[0].partition(b" ")[0].decode("ascii", "replace")
    if name not in _NAMES or len(line) > _LINE_MAX_BYTES:
        return None
    match = _SAMPLE.fullmatch(line.decode("utf-8", "replace"))
    if match is None:
        return None
    try:
        value = float(match["value"])
    except ValueError:
        return None
    if not math.isfinite(value) or value < 0:
        return None
    field = _NAMES[name]
    if field == "waiting_by_reason":
        reason = _REASON.search(match["labels"] or "")
        field = _REASONS.get(reason[1], "") if reason is not None else ""
    return (field, value) if field else None
