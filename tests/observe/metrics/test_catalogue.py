"""The catalogue of metrics, what is counted by it, and the files that go by its names."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scripts import metrics_page

from parley.observe.metrics.catalogue import BY_NAME, CATALOGUE
from parley.observe.metrics.metric import Metric

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
GROUPED = re.compile(r"\bby\s*\(([^)]*)\)")
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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", RULES.name), ("test", "rules", "parley.rules.test.yml")], ids=["check", "test"]
)
def test_prometheus_takes_the_rules(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
