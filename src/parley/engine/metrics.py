"""What an engine server counts, in a Prometheus registry of its own."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from parley.engine.transcriber import EngineDescription

Refusal = Literal["capacity", "draining"]


class EngineMetrics:
    """The server's counters. No label holds anything a client sent."""

    def __init__(self, description: EngineDescription) -> None:
        self._registry = CollectorRegistry()
        prefix, registry = "parley_engine", self._registry
        self.sessions = Gauge(f"{prefix}_sessions", "Connections open now.", registry=registry)
        self.audio_s = Counter(f"{prefix}_audio_seconds", "Audio consumed.", registry=registry)
        self.decode_s = Counter(f"{prefix}_decode_seconds", "Time decoding took, threads together.", registry=registry)
        self.deltas = Counter(f"{prefix}_deltas", "Deltas sent.", registry=registry)
        self.turns = Counter(f"{prefix}_turns", "Turns finished.", registry=registry)
        self.failures = Counter(f"{prefix}_failures", "Turns that failed inside the engine.", registry=registry)
        self._refusals = Counter(f"{prefix}_refusals", "Connections refused.", ["reason"], registry=registry)
        info = Gauge(f"{prefix}_info", "The engine running.", ["name", "packaged"], registry=registry)
        info.labels(description.name, str(description.packaged).lower()).set(1)

    def refused(self, reason: Refusal) -> None:
        """Count a connection refused."""
        self._refusals.labels(reason).inc()

    def render(self) -> bytes:
        """The registry in Prometheus's text format."""
        return generate_latest(self._registry)
