"""The list of marks, and the page that explains them."""

import re
from pathlib import Path

from parley.observe.marks import FACTS, MarkKind

PAGE = Path(__file__).parents[2] / "docs" / "timeline.md"


def test_every_kind_says_which_facts_come_with_it() -> None:
    assert set(FACTS) == set(MarkKind)


def test_the_page_has_every_kind_with_its_facts() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    named = {kind: tuple(re.findall(r"`([a-z_]+)`", facts)) for kind, facts in rows}
    expected = {kind.value: facts for kind, facts in FACTS.items()} | {"moved": ("ended",)}
    assert named == expected
