"""Holds each module of the pure rooms to full branch coverage by its own tests: `scripts/module_coverage.py [ROOM...]`.

`--ignores` prints the options that keep pytest from running the same tests once more.

A module `src/parley/ROOM/NAME.py` must be covered by `tests/ROOM/test_NAME.py`, or by it and `test_NAME_*.py` where one
file would be too long; a package's modules by tests in a folder of its name. What other tests run on the way does not
count: a module that only its users test is not tested.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "wire", "audio", "access", "store")
RUN_TIMEOUT_S = 300


@dataclass(frozen=True)
class Shortfall:
    """What a module's own tests leave out: lines, and branches as (from line, to line; below 0 is the exit)."""

    module: str
    tests: str
    lines: tuple[int, ...]
    branches: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        if not self.tests:
            return f"{self.module}: has no test file of its own"
        missing = [f"lines {_ranges(self.lines)}"] if self.lines else []
        arcs = [f"{start}->{'exit' if end < 0 else end}" for start, end in self.branches]
        missing += [f"branches {', '.join(arcs)}"] if arcs else []
        return f"{self.module}: {self.tests} leaves out {'; '.join(missing)}"


def own_tests(room: str, root: Path = ROOT) -> dict[Path, list[Path]]:
    """Each module of the room with its own test files: those whose names its own begins, and no longer one does."""
    source = root / "src/parley" / room
    modules = [path for path in sorted(source.rglob("*.py")) if path.stem != "__init__"]
    owned: dict[Path, list[Path]] = {module: [] for module in modules}
    for test in sorted((root / "tests" / room).rglob("test_*.py")):
        name, package = test.stem.removeprefix("test_"), source / test.parent.relative_to(root / "tests" / room)
        beside = [module for module in modules if module.parent == package]
        owners = [module for module in beside if name == module.stem or name.startswith(f"{module.stem}_")]
        if owners:
            owned[max(owners, key=lambda module: len(module.stem))].append(test)
    return owned


def run_tests(tests: Iterable[Path], data_file: Path) -> int:
    """Run these test files once, noting for each line and branch which test took it; pytest's exit status."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--no-header", "--cov", "--cov-branch", "--cov-context=test"),
        *("--cov-report=", "-p", "no:cacheprovider", "--numprocesses", "auto", "--maxprocesses", "4"),
        *map(str, tests),
    ]
    # Only this tracer can tell the tests apart.
    environment = {**os.environ, "COVERAGE_FILE": str(data_file), "COVERAGE_CORE": "ctrace"}
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=RUN_TIMEOUT_S, check=False).returncode


def shortfall(data_file: Path, module: Path, tests: Sequence[Path]) -> Shortfall | None:
    """What these tests leave out of the module; None when it is nothing."""
    name = str(module.relative_to(ROOT))
    if not tests:
        return Shortfall(name, "", (), ())
    names = [test.relative_to(ROOT).as_posix() for test in tests]
    # The empty context is what importing the module runs.
    contexts = [r"^$", *(rf"^{test}::" for test in names)]
    coverage = Coverage(data_file=str(data_file), config_file=str(ROOT / "pyproject.toml"))
    coverage.load()
    report = data_file.with_suffix(".json")
    coverage.json_report(morfs=[str(module)], contexts=contexts, outfile=str(report))
    found = next(iter(json.loads(report.read_text())["files"].values()))
    lines, branches = tuple(found["missing_lines"]), tuple(map(tuple, found["missing_branches"]))
    if not lines and not branches:
        return None
    return Shortfall(name, " and ".join(names), lines, branches)


def _ranges(lines: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def print_ignores() -> int:
    """Print pytest's options that leave out what was run here already."""
    for room in ROOMS:
        for tests in own_tests(room).values():
            print(*(f"--ignore={test.relative_to(ROOT)}" for test in tests), sep="\n")
    return 0


def main(rooms: Sequence[str]) -> int:
    """Check the rooms; 0 when every module of theirs is covered by its own tests."""
    if list(rooms) == ["--ignores"]:
        return print_ignores()
    unknown = set(rooms) - set(ROOMS)
    if unknown:
        print(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        data_file = Path(folder) / "coverage"
        modules = {module: tests for room in rooms for module, tests in own_tests(room).items()}
        status = run_tests([test for tests in modules.values() for test in tests], data_file)
        if status:
            print("the tests themselves failed: see above")
            return status
        shortfalls = [shortfall(data_file, module, tests) for module, tests in modules.items()]
    missed = [found for found in shortfalls if found is not None]
    for found in missed:
        print(found)
    print(f"{len(modules) - len(missed)} of {len(modules)} modules are fully covered by their own tests")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ROOMS))
