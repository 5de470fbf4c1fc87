"""Writes the tables of docs/metrics.md anew from the catalogue of metrics."""

from pathlib import Path

from parley.observe.metrics import catalogue
from parley.observe.metrics.metric import Metric

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
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


def table(metrics: tuple[Metric, ...]) -> str:
    """A row for each metric."""
    rows = ["| metric | what it is | what it means when it moves | OpenTelemetry |", "|---|---|---|---|"]
    for metric in metrics:
        labels = "".join(f"<br>`{name}`: {what}" for name, what in metric.labels.items())
        rows.append(
            f"| `{metric.exposed}`<br>{metric.kind} | {metric.help}{labels} | {metric.means} | `{metric.otlp_name}` |"
        )
    return "\n".join(rows)


def as_markdown() -> str:
    """All of them."""
    return "\n\n".join(f"## {title}\n\n{table(metrics)}" for title, metrics in GROUPS.items())


def main() -> None:
    """Replace what is between the two marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
