import socket
import subprocess
import sys
from pathlib import Path

import pytest

from parley.cli import main


def run_engine(*options: str) -> tuple[int, str]:
    """Exit status and stderr of an engine that is not expected to start."""
    command = [sys.executable, "-m", "parley", "engine", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=45, check=False)
    return done.returncode, done.stderr


def test_an_engine_whose_port_is_taken_is_one_line_and_status_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, errors = run_engine("--engine", "scripted", "--port", str(port))
    assert status == 3
    (line,) = errors.splitlines()
    assert line.startswith(f"parley: port-in-use: Port {port} of 127.0.0.1 is in use.")


def test_an_address_that_cannot_be_listened_on_is_status_3() -> None:
    # Reserved for documentation (RFC 5737): no machine has it.
    status, errors = run_engine("--engine", "scripted", "--host", "192.0.2.1", "--port", "0")
    assert status == 3
    assert errors.startswith("parley: address-unusable: 192.0.2.1:0 ")


def test_an_engine_without_weights_is_status_3(tmp_path: Path) -> None:
    status, errors = run_engine("--model-dir", str(tmp_path), "--port", "0")
    assert status == 3
    assert errors.startswith("parley: engine-not-loaded: ")


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--max-sessions", "0"], ["--engine", "large"], ["--context-s", "1"]]
)
def test_options_out_of_range_are_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["engine", *arguments]) == 2
    assert "Invalid value" in capsys.readouterr().err
