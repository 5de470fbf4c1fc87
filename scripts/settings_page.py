"""Writes the tables of settings in docs/configuration.md anew from the settings' own descriptions."""

from pathlib import Path

from parley.server.settings.view import as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"


def main() -> None:
    """Replace what is between the two marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown().strip()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
