import json
from pathlib import Path

import pytest

from parley.cli import main
from parley.server.settings.document import KEYS, TABLES


@pytest.fixture(autouse=True)
def _without_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(key.environment for key in KEYS.values()), "PARLEY_CONFIG", "PARLEY_PRESET"):
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_shown_with_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check-config", "--port", "9000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(KEYS) + len(TABLES)
    assert "server.port 9000 flag --port" in [" ".join(line.split()) for line in lines]


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check-config", "--json", "--set", "session.held_turns_max=8"]) == 0
    assert json.loads(capsys.readouterr().out)["session.held_turns_max"] == {"value": 8, "origin": "flag --set"}


def test_all_mistakes_are_listed_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("[server]\nprot = 1\n")
    monkeypatch.setenv("PARLEY_SERVER_PORT", "loud")
    assert main.run(["check-config", "--config", str(path), "--port", "x", "--set", "y"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.removeprefix("parley: invalid-settings: ") for line in said.err.splitlines()] == [
        f"file {path}: server.prot is not a setting; did you mean server.port?",
        "env PARLEY_SERVER_PORT: server.port must be a whole number from 0 to 65535, not loud",
        "flag --port: server.port must be a whole number from 0 to 65535, not x",
        "flag --set: expected section.key=value, as in --set server.port=9000",
    ]


@pytest.mark.parametrize("option", ["--host", "--upstream", "--upstream-model", "--launch"])
def test_every_option_of_serve_is_taken(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = "127.0.0.2" if option == "--host" else "ws://host/path"
    assert main.run(["check-config", option, value]) == 0
    assert f"flag {option}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--http2"], {"http2.enabled": "true flag --http2"}),
        (["--http2-port", "9443"], {"http2.enabled": "true flag --http2-port", "http2.port": "9443 flag --http2-port"}),
        (["--http2", "--http2-port", "0"], {"http2.enabled": "true flag --http2", "http2.port": "0 flag --http2-port"}),
        ([], {"http2.enabled": "false default"}),
    ],
)
def test_the_options_of_the_sagemaker_endpoint_turn_it_on(
    options: list[str], shown: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check-config", *options]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    listed = {name: " ".join(rest.split()) for name, rest in lines}
    assert {name: listed[name] for name in shown} == shown


def test_each_endpoint_of_the_file_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "parley.toml"
    path.write_text('[[endpoints]]\nname = "voxtral"\nvariant = "large"\n')
    assert main.run(["check-config", "--config", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f'endpoints[1].name "voxtral" file {path}' in lines
    assert f'endpoints[1].variant "large" file {path}' in lines


def test_keys_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check-config", "--launch", "vllm serve m --api-key hunter2"]) == 0
    assert "hunter2" not in capsys.readouterr().out


def test_an_unknown_preset_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check-config", "--preset", "kaggle"]) == 2
    assert "'laptop', 'sagemaker'" in capsys.readouterr().err
