"""Writes the tables of docs/metrics.md anew from the catalogue of metrics and from the alert rules."""

import re
from dataclasses import dataclass
from pathlib import Path

from parley.observe.metrics import catalogue
from parley.observe.metrics.metric import Metric

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "parley.rules.yml"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->"

GROUPS = {
    "Sessions": catalogue.SESSIONS,
    "Turns": catalogue.TURNS,
    "Continuity": catalogue.CONTINUITY,
    "Streams on model servers": catalogue.LEGS,
    "Pace": catalogue.PACE,
    "Pressure": catalogue.PRESSURE,
    "The node": catalogue.NODE,
}

_RULE = re.compile(
    r"^ +- alert: (?P<name>\w+)\n +expr: (?P<when>\|\n(?: {10,}.*\n)+|.*\n)(?: +for: (?P<lasting>\S+)\n)?"
    r" +labels: \{ severity: (?P<severity>\w+) \}\n +annotations:\n(?: {10}.*\n)*"
    r" {10}runbook_url: docs/(?P<runbook>\S+)\n",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Alert:
    """An alert rule: `when` it fires in PromQL, how long that has to last, and what to do."""

    name: str
    when: str
    lasting: str
    severity: str
    runbook: str

    def is_about(self, metric: Metric) -> bool:
        """Whether it asks for the metric."""
        return bool(re.search(rf"\b{metric.exposed}(?:_bucket|_count|_sum)?\b", self.when))


def alerts() -> list[Alert]:
    """All that there are."""
    return [
        Alert(
            found["name"],
            " ".join(found["when"].removeprefix("|").split()),
            found["lasting"] or "",
            found["severity"],
            found["runbook"],
        )
        for found in _RULE.finditer(RULES.read_text())
    ]


def table(metrics: tuple[Metric, ...]) -> str:
    """A row for each metric."""
    rows = ["| metric | what it is | what it means when it moves | alert | OpenTelemetry |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = "".join(f"<br>`{name}`: {what}" for name, what in metric.labels.items())
        watched = "<br>".join(f"[{alert.name}](#alerts)" for alert in alerts() if alert.is_about(metric))
        rows.append(
            f"| `{metric.exposed}`<br>{metric.kind} | {metric.help}{labels} | {metric.means} | {watched} "
            f"| `{metric.otlp_name}` |"
        )
    return "\n".join(rows)


def alert_table() -> str:
    """A row for each alert."""
    rows = ["| alert | severity | when | for | what to do |", "|---|---|---|---|---|"]
    for alert in alerts():
        when = alert.when.replace("|", "\\|")
        part = alert.runbook.partition("#")[2].replace("-", " ")
        rows.append(f"| {alert.name} | {alert.severity} | `{when}` | {alert.lasting} | [{part}]({alert.runbook}) |")
    return "\n".join(rows)


def as_markdown() -> str:
    """All of them."""
    parts = [f"## {title}\n\n{table(metrics)}" for title, metrics in GROUPS.items()]
    return "\n\n".join([*parts, f"## Alerts\n\n{alert_table()}"])


def main() -> None:
    """Replace what is between the two marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
