"""Writes the tables of docs/errors.md from the error table: `.venv/bin/python scripts/errors_page.py [--check]`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from parley.core.errors import ERRORS, ErrorSpec, Fault

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
BEGIN = "<!-- errors: begin (scripts/errors_page.py writes what follows) -->"
END = "<!-- errors: end -->"

_TITLES = {
    Fault.CLIENT: "What the client sent",
    Fault.UPSTREAM: "What became of the model server",
    Fault.SERVER: "What this server decided",
}


def tables(specs: Sequence[ErrorSpec]) -> str:
    """The generated part of the page: a table for each fault, and one of what each wire says."""
    parts: list[str] = []
    for fault, title in _TITLES.items():
        parts += [f"## {title}", "", f"`fault: {fault}`", ""]
        rows = ((f"`{spec.code}`", spec.summary, spec.fix, spec.retry) for spec in specs if spec.fault is fault)
        parts += [*_table(("code", "what happened", "what to do", "retry"), rows), ""]
    wires = (
        (
            f"`{spec.code}`",
            str(spec.http_status),
            str(spec.ws_close),
            f"`{spec.vllm_code}`",
            f"`{spec.aws_exception}`",
            f"`{spec.openai_type}`",
            f"`{spec.h2_error}`",
        )
        for spec in specs
    )
    header = ("code", "HTTP", "WebSocket close", "vLLM", "AWS", "OpenAI", "HTTP/2")
    parts += ["## On each wire", "", *_table(header, wires)]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def page(text: str, specs: Sequence[ErrorSpec]) -> str:
    """The page with its generated part renewed; ValueError when it lacks the markers."""
    head, rest = _split(text, BEGIN)
    _, tail = _split(rest, END)
    return f"{head}{BEGIN}\n\n{tables(specs)}\n\n{END}{tail}"


def _split(text: str, marker: str) -> tuple[str, str]:
    before, found, after = text.partition(marker)
    if not found:
        raise ValueError(f"the page lacks the line {marker}")
    return before, after


def main(arguments: Sequence[str]) -> int:
    """Renew the page, or with --check say whether that would change it."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old, list(ERRORS.values()))
    if "--check" in arguments:
        if old != new:
            print("docs/errors.md is not what the error table says; run: .venv/bin/python scripts/errors_page.py")
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
