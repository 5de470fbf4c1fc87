"""The parts of the pages that know no document: run by Node's own test runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "js"
STATIC = Path(__file__).parents[2] / "src" / "parley" / "web" / "static"
BOUND_S = 50
NODE_MIN = 20


def node() -> str:
    """Node's path; skips where there is none that has what it takes."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is not installed: the pages' own tests need it.")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=BOUND_S).stdout
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MIN:
        pytest.skip(f"Node {version.strip()} is too old: {NODE_MIN} or newer has a test runner.")
    return found


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name.partition(".")[0])
def test_the_pages_own_tests_pass(file: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    ran = subprocess.run(
        [node(), "--test", str(file)], capture_output=True, text=True, env=environment, timeout=BOUND_S
    )
    assert ran.returncode == 0, ran.stdout[-6_000:]


@pytest.mark.parametrize("file", sorted(STATIC.glob("*/*.js")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_module_is_javascript(file: Path) -> None:
    ran = subprocess.run([node(), "--check", str(file)], capture_output=True, text=True, timeout=BOUND_S)
    assert ran.returncode == 0, ran.stderr
