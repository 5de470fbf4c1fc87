import io
import subprocess
import sys
from importlib import import_module

import click
import pytest

from parley import __version__
from parley.cli import main
from parley.cli.failure import Failure, Misuse, NotStarted
from parley.core.errors import ParleyError

HEAVY = ("aiohttp", "numpy", "rich", "picows", "onnxruntime", "uvloop", "msgspec", "asyncio")
CANARY = "what-somebody-said"


def loaded_by(*arguments: str) -> set[str]:
    """The heavy libraries that a command line imports."""
    program = (
        "import sys\nfrom parley.cli.main import run\n"
        f"status = run({list(arguments)!r})\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return set(done.stderr.split())


def run_raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(import_module("parley.cli.version"), "command", command)
    return main.run(["version"])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-h"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    assert loaded_by(*arguments) == set()


def test_the_help_of_serve_loads_neither_server_nor_engine() -> None:
    assert loaded_by("serve", "--help") <= {"msgspec"}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name for name in main.COMMANDS if f"  {name} " not in text] == []


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_that_is_listed_exists(name: str) -> None:
    command = main.parley.get_command(click.Context(main.parley), name)
    assert command is not None
    assert command.help


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["listen"]) == 2
    assert "No such command 'listen'" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version", "--long"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_version_names_the_parts_that_matter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["parley"] == __version__
    assert {"python", "platform", "picows", "aiohttp", "onnxruntime"} <= lines.keys()


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parley", "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == f"parley {__version__}\n"


def test_an_expected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(ParleyError("not-found"), monkeypatch) == 1
    assert (
        capsys.readouterr().err == "parley: not-found: There is no such route. See docs/protocol.md for the routes.\n"
    )


def test_an_expected_error_is_found_in_a_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [ParleyError("not-found")])])
    assert run_raising(group, monkeypatch) == 1
    assert capsys.readouterr().err.startswith("parley: not-found: ")


@pytest.mark.parametrize(("failure", "status"), [(Failure("x: y"), 1), (Misuse("x: y"), 2), (NotStarted("x: y"), 3)])
def test_a_failure_has_the_status_of_its_kind(
    failure: Failure, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(failure, monkeypatch) == status
    assert capsys.readouterr().err == "parley: x: y\n"


def test_an_unexpected_error_tells_where_it_was_but_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(ValueError(CANARY), monkeypatch) == 1
    said = capsys.readouterr().err
    assert "parley: internal-error: " in said
    assert "ValueError at " in said
    assert CANARY not in said


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_told_by_the_status_alone(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(error, monkeypatch) == 130
    assert "Error" not in capsys.readouterr().err


def test_a_command_may_choose_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.pass_context
    def command(ctx: click.Context) -> None:
        ctx.exit(4)

    monkeypatch.setattr(import_module("parley.cli.version"), "command", command)
    assert main.run(["version"]) == 4


def test_the_entry_point_ends_with_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["parley", "--version"])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
