"""The catalogue of metrics, what is counted by it, and the files that go by its names."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scripts import metrics_page

from parley.core.effects import LegPurpose
from parley.core.errors import ERRORS
from parley.core.notices import DropReason, Outcome
from parley.observe.metrics.catalogue import BY_NAME, CATALOGUE
from parley.observe.metrics.metric import Metric
from parley.server.session_state import SESSION_STATES

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "parley.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "parley.json"

EXPOSED = {metric.exposed: metric for metric in CATALOGUE} | {
    f"{metric.name}{suffix}": metric
    for metric in CATALOGUE
    if metric.kind == "histogram"
    for suffix in ("_bucket", "_count", "_sum")
}
SELECTED = re.compile(r"\b(parley_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
VALUE = re.compile(r'(\w+)\s*=~?\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds."""


def expressions() -> list[str]:
    """All that the rules and the dashboard ask for."""
    found = re.findall(r"^\s*expr: (\|\n(?:\s{10,}.*\n)+|.*\n)", RULES.read_text(), re.MULTILINE)
    dashboard = json.loads(DASHBOARD.read_text())
    panels: list[dict[str, Any]] = dashboard["panels"]
    targets = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*found, *targets, *(one["expr"] for one in dashboard["annotations"]["list"])]


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks_and_explained(metric: Metric) -> None:
    assert re.fullmatch(r"parley_[a-z0-9_]+", metric.name)
    assert not metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert metric.means.endswith(".")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(set(metric.bounds))


def test_names_are_unlike_each_other_everywhere() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    assert len({metric.otlp_name for metric in CATALOGUE}) == len(CATALOGUE)


VOCABULARIES = {
    ("parley_reconnects", "outcome"): {outcome.value for outcome in Outcome},
    ("parley_recoveries", "outcome"): {outcome.value for outcome in Outcome},
    ("parley_audio_dropped_seconds", "reason"): {DropReason.INPUT_OVERRUN.value},
    ("parley_legs_asked", "purpose"): {purpose.name.lower() for purpose in LegPurpose},
    ("parley_sessions", "state"): set(SESSION_STATES),
    ("parley_blocked_seconds", "side"): {"client-input", "client-output", "upstream"},
    ("parley_forwarding_seconds", "direction"): {"up", "down"},
    ("parley_turns", "outcome"): {"final", "failed", "dropped"},
    ("parley_loop_lag_seconds", "quantile"): {"0.5", "0.99", "1"},
}


def test_words_are_those_that_there_are() -> None:
    words = {(metric.name, label): set(words) for metric in CATALOGUE for label, words in metric.words.items()}
    assert words == VOCABULARIES


@pytest.mark.parametrize("metric", [one for one in CATALOGUE if one.words], ids=lambda metric: metric.name)
def test_words_are_explained_with_their_label(metric: Metric) -> None:
    for label, words in metric.words.items():
        assert [word for word in words if word not in metric.labels[label]] == []


def test_few_labels_have_no_list_of_words() -> None:
    """Those are error codes, names of the settings, or a release: who adds another says what bounds it."""
    open_ones = {label for metric in CATALOGUE for label in metric.labels if label not in metric.words}
    assert open_ones == {"pool", "transport", "outcome", "fault", "code", "phase", "state", "version"}


def test_a_name_of_the_conventions_has_what_they_require() -> None:
    required = {"gen_ai.operation.name", "gen_ai.provider.name"}
    assert {
        m.name for m in CATALOGUE if m.otlp.startswith("gen_ai.") and not required <= set(m.otlp_attributes)
    } == set()
    assert not [m.name for m in CATALOGUE if m.otlp and not m.otlp.startswith("gen_ai.")]


def test_the_page_is_what_the_catalogue_says() -> None:
    page = metrics_page.PAGE.read_text()
    assert metrics_page.as_markdown() in page


def test_the_rules_and_the_dashboard_ask_for_something() -> None:
    assert len(expressions()) > 50


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_counted_with_those_labels(expression: str) -> None:
    asked = SELECTED.findall(expression)
    assert asked
    known: set[str] = {"le", *SCRAPED}
    for name, matchers in asked:
        assert name in EXPOSED, f"{name} is no metric"
        labels = {*EXPOSED[name].labels, *SCRAPED, "le"}
        known |= labels
        assert set(MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers))) <= labels, name
        for label, value in VALUE.findall(matchers):
            if label in EXPOSED[name].words:
                assert value in EXPOSED[name].words[label], f"{name} has no {label} {value}"
            if label == "code":
                assert set(value.split("|")) <= set(ERRORS), name
    for group in GROUPED.findall(expression):
        assert {label.strip() for label in group.split(",")} <= known, expression


def test_every_alert_says_what_to_do() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    anchors = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    rules = RULES.read_text()
    asked = re.findall(r"runbook_url: docs/operations\.md#(\S+)", rules)
    assert len(asked) == rules.count("- alert:")
    assert set(asked) <= anchors


def test_the_page_finds_every_alert() -> None:
    rules = RULES.read_text()
    assert [alert.name for alert in metrics_page.alerts()] == re.findall(r"- alert: (\w+)", rules)


def test_every_alert_is_tried() -> None:
    tried = re.findall(r"alertname: (\w+)", (RULES.parent / "parley.rules.test.yml").read_text())
    assert sorted(tried) == sorted(alert.name for alert in metrics_page.alerts())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", RULES.name), ("test", "rules", "parley.rules.test.yml")], ids=["check", "test"]
)
def test_prometheus_takes_the_rules(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
