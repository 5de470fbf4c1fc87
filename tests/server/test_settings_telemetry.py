"""The settings of telemetry: a collector's address that can't be one is refused with the fix."""

import pytest

from parley.server.settings.document import Settings, TelemetrySettings
from parley.server.settings.sources import SettingsError, load

SECRET = "zzgeheimnis"


def settings(endpoint: str) -> TelemetrySettings:
    return load(environ={}, assignments=(f"telemetry.otlp_endpoint={endpoint}",)).settings.telemetry


def problem(endpoint: str) -> str:
    with pytest.raises(SettingsError) as raised:
        settings(endpoint)
    (one,) = raised.value.problems
    return str(one).removeprefix("flag --set: telemetry.otlp_endpoint ")


def test_nothing_is_sent_anywhere_by_default() -> None:
    assert Settings().telemetry == TelemetrySettings(otlp_endpoint="", traces=False, traces_ratio=1.0)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:4318", "https://collector.example", "http://[::1]:4318/", "https://c.example/otlp"]
)
def test_a_collector_is_named_by_its_base_url(endpoint: str) -> None:
    assert settings(endpoint).otlp_endpoint == endpoint


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://collector:4317", "http://", "http:collector"])
def test_what_is_no_url_of_http_is_refused_with_one_that_is(endpoint: str) -> None:
    assert problem(endpoint) == "must be an http:// or https:// URL, such as http://127.0.0.1:4318"


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://c:99999"])
def test_what_is_no_url_at_all_is_refused(endpoint: str) -> None:
    assert problem(endpoint) == "is no URL; it looks like http://127.0.0.1:4318"


@pytest.mark.parametrize("endpoint", [f"http://me:{SECRET}@c", f"http://c/?key={SECRET}"])
def test_credentials_in_the_url_are_refused_without_repeating_them(endpoint: str) -> None:
    message = problem(endpoint)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in message
    assert SECRET not in message


def test_the_path_of_traces_is_refused_since_it_is_added() -> None:
    assert problem("http://c:4318/v1/traces") == "must be the collector's base URL, without /v1/traces"


def test_traces_of_sessions_that_nobody_watches_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"telemetry\.traces needs telemetry\.enabled"):
        load(environ={}, assignments=("telemetry.traces=true", "telemetry.enabled=false"))
