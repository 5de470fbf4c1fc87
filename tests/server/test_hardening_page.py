"""The checklist for production names settings that there are, and pages that are there."""

import re
from pathlib import Path

from parley.server.settings.document import KEYS, SECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "hardening.md"
_SETTING = re.compile(rf"\b(?:{'|'.join(SECTIONS)})\.[a-z][a-z0-9_]*\b")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_every_setting_that_is_named_exists() -> None:
    named = {found[0] for quoted in re.findall(r"`[^`\n]+`", PAGE.read_text()) for found in _SETTING.finditer(quoted)}
    files = {name for name in named if name.endswith((".toml", ".pem", ".key", ".md", ".example", ".service"))}
    assert len(named) > 20
    assert named - files - set(KEYS) == set()


def test_every_page_that_is_linked_is_there() -> None:
    linked = _LINK.findall(PAGE.read_text())
    assert [link for link in linked if not (PAGE.parent / link).exists()] == []
