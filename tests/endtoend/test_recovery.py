"""Real connections that are cut and real model servers that are killed: the recovery benchmark, in small."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ("--seconds", "16", "--speed", "2", "--sessions", "2", "--cuts", "5", "--kills", "2")


def test_sessions_say_the_same_as_undisturbed_ones_however_often_they_are_cut_and_their_model_server_killed() -> None:
    command = [sys.executable, "-m", "benchmarks.recovery", *SMALL]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "same text as undisturbed: 2 of 2" in run.stdout
    assert "rehydrated" in run.stdout
    assert "resumed" in run.stdout
