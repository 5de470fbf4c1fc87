"""AWS's Python SDK as it comes, without anything of the tests' in it, against a gateway in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 170.0
"""On a busy machine; the bulk upload takes 5 to 10 s on an idle one."""
GROWTH_MAX_MB = 48.0
"""Two minutes of audio that wait for the model, 3.8 MB, in whatever form, and what the allocators make of it."""

pytestmark = pytest.mark.timeout(TIMEOUT_S + 10)


def run(folder: Path, *options: str) -> dict[str, Any]:
    """The figures of a small load; a session that was not held, or a wrong transcript, fails."""
    file = folder / "figures.json"
    command = [sys.executable, "-m", "benchmarks.sdk_sessions", *options, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def test_sessions_at_the_pace_of_speech_are_all_held(tmp_path: Path) -> None:
    figures = run(tmp_path, "--sessions", "8", "--seconds", "2")
    assert (figures["held"], figures["wrong"]) == (8, 0)


def test_a_bulk_upload_of_ten_minutes_neither_stalls_nor_grows_memory(tmp_path: Path) -> None:
    figures = run(tmp_path, "--bulk-s", "600")
    assert (figures["held"], figures["wrong"]) == (1, 0)
    assert figures["rss_peak_mb"] - figures["rss_before_mb"] < GROWTH_MAX_MB, figures
