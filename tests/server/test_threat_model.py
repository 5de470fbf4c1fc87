"""The threat model and the hardening guide name what there is: tests, and settings."""

import re
from pathlib import Path

import pytest

from parley.server.settings.document import KEYS, TABLES

ROOT = Path(__file__).parents[2]
TESTS = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", (ROOT / "THREAT_MODEL.md").read_text())
GUIDE = (ROOT / "docs" / "hardening.md").read_text()
_OTHERS = {"retention_max", "max_sessions", "audio_minutes_per_day", "connects_per_minute"}


@pytest.mark.parametrize(("path", "names"), TESTS)
def test_every_test_that_is_named_exists(path: str, names: str) -> None:
    text = (ROOT / path).read_text()
    for name in names.split("::")[1:]:
        assert re.search(rf"(?:class|def) {name}\b", text), f"{path} has no {name}"


def test_every_kind_of_threat_is_looked_at() -> None:
    rows = re.findall(r"^\| ([STRIDE, ]+) \|", (ROOT / "THREAT_MODEL.md").read_text(), re.MULTILINE)
    assert {letter for row in rows for letter in row.split(", ")} == set("STRIDE")
    assert len(TESTS) > 30


def test_every_setting_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"`([a-z0-9]+\.[a-z_0-9]+)`", GUIDE)) - {"limits.md", "access.md", "retention.md"}
    assert named
    assert named <= set(KEYS)
    tenants = set(TABLES["tenants"])
    assert tenants >= _OTHERS
