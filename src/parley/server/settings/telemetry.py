# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of telemetry that this node sends somewhere by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from parley.server.settings.types import Seconds, Share, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """What is sent to a collector. Nothing in it holds a word of what was said."""

    enabled: bool = setting(True, "Whether sessions are watched: timelines, places, records and all that follows.")
    metrics: bool = setting(True, "Whether metrics are counted; GET /metrics of the admin port has them.")
    emf: bool = setting(False, "Whether metrics go to stdout too, as CloudWatch's Embedded Metric Format.")
    metrics_interval_s: Seconds = setting(
        60.0, "Time between two times that metrics are sent: to stdout, and to otlp_endpoint.", unit="s"
    )
    otlp_endpoint: str = setting(
        "", "Base URL of an OpenTelemetry collector that takes OTLP over HTTP, as http://127.0.0.1:4318. Empty: none."
    )
    traces: bool = setting(False, "Whether sessions are traced: to otlp_endpoint, with the extra `otlp` installed.")
    traces_ratio: Share = setting(
        1.0, "The share of sessions that is traced, of those whose client's own trace does not decide it."
    )


def telemetry_problems(telemetry: TelemetrySettings) -> Iterator[tuple[str, str]]:
    """The key to blame, and the message, for each thing that is wrong; what may be a secret is not repeated."""
    if telemetry.otlp_endpoint and (message := _collector_problem(telemetry.otlp_endpoint)):
        yield "telemetry.otlp_endpoint", f"telemetry.otlp_endpoint {message}"
    if telemetry.traces and not telemetry.enabled:
        yield "telemetry.traces", "telemetry.traces needs telemetry.enabled: who is not watched leaves no trace"


def _collector_problem(url: str) -> str:
    example = "http://127.0.0.1:4318"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return f"is no URL; it looks like {example}"
    if not is_url:
        return f"must be an http:// or https:// URL, such as {example}"
    if parts.username is not None or parts.query or parts.fragment:
        return "must be a bare URL; credentials go into the variable OTEL_EXPORTER_OTLP_HEADERS"
    if parts.path.rstrip("/").endswith("/v1/traces"):
        return "must be the collector's base URL, without /v1/traces"
    return ""
