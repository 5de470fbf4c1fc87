import random
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from parley.server.launch import engine_command, engine_sessions_max, model_server_child
from parley.server.settings import view as settings_view
from parley.server.settings.document import KEYS, SECTIONS, TABLES, EngineSettings, Settings, value_of
from parley.server.settings.sources import FlagValue, Loaded, SettingsError, load
from parley.server.upstream_specs import member_specs


def load_text(tmp_path: Path, text: str, **environ: str) -> Loaded:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return load(environ=environ, config=path)


def problems(
    *flags: FlagValue,
    config: Path | None = None,
    preset: str | None = None,
    assignments: Sequence[str] = (),
    **environ: str,
) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(environ=environ, config=config, preset=preset, flags=flags, assignments=assignments)
    return [str(problem) for problem in raised.value.problems]


def problems_in(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return [problem.removeprefix(f"file {path}: ") for problem in problems(config=path)]


def test_without_any_source_the_defaults_hold() -> None:
    assert load(environ={}).settings == Settings()


def test_every_value_has_an_origin() -> None:
    assert load(environ={}).origins == dict.fromkeys((*KEYS, *TABLES), "default")


def test_a_file_outranks_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("[server]\nport = 9001\n")
    loaded = load(environ={}, config=path, preset="sagemaker")
    assert (loaded.settings.server.port, loaded.origins["server.port"]) == (9001, f"file {path}")


def test_the_environment_outranks_a_file(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[server]\nport = 9001\n", PARLEY_SERVER_PORT="9002")
    assert (loaded.settings.server.port, loaded.origins["server.port"]) == (9002, "env PARLEY_SERVER_PORT")


def test_a_flag_outranks_the_environment() -> None:
    loaded = load(environ={"PARLEY_SERVER_PORT": "9002"}, flags=[FlagValue("server.port", "9003", "--port")])
    assert (loaded.settings.server.port, loaded.origins["server.port"]) == (9003, "flag --port")


def test_the_environment_names_the_file_and_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("[server]\nmax_sessions = 7\n")
    loaded = load(environ={"PARLEY_CONFIG": str(path), "PARLEY_PRESET": "sagemaker"})
    assert (loaded.settings.server.max_sessions, loaded.settings.log.format) == (7, "json")


def test_a_file_that_is_named_outranks_the_one_in_the_environment(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "", PARLEY_CONFIG="no-such-file.toml")
    assert loaded.settings == Settings()


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.dotted)
def test_every_key_can_be_set_from_every_source(key: object, tmp_path: Path) -> None:
    # Its default is always a fit value, but for the text ones that take no other than a fit one.
    dotted = key.dotted  # type: ignore[attr-defined]
    text = settings_view._literal(KEYS[dotted].default)
    bare = text.strip('"')
    in_file = load_text(tmp_path, f"[{KEYS[dotted].section}]\n{KEYS[dotted].name} = {text}\n")
    in_environment = load(environ={KEYS[dotted].environment: bare})
    in_flag = load(environ={}, flags=[FlagValue(dotted, bare, "--set")])
    assert [one.origins[dotted].split()[0] for one in (in_file, in_environment, in_flag)] == ["file", "env", "flag"]
    assert {value_of(one.settings, dotted) for one in (in_file, in_environment, in_flag)} == {KEYS[dotted].default}


def test_a_boolean_is_read_from_text() -> None:
    assert load(environ={"PARLEY_SESSION_FORWARD_EMPTY_DELTAS": "true"}).settings.session.forward_empty_deltas


def test_a_whole_number_will_do_for_a_duration(tmp_path: Path) -> None:
    assert load_text(tmp_path, "[server]\nping_interval_s = 5\n").settings.server.ping_interval_s == 5.0


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text('[server]\nprot = 1\nport = "x"\n\n[logs]\nlevel = "info"\n')
    found = problems(
        FlagValue("engine.kind", "tiny", "--engine"),
        config=path,
        PARLEY_LOG_LEVLE="info",
        PARLEY_UPSTREAM_URL="ftp://x",
    )
    assert len(found) == 6


def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "[server]\nprot = 1\n") == ["server.prot is not a setting; did you mean server.port?"]


def test_a_key_of_another_section_is_pointed_to(tmp_path: Path) -> None:
    assert problems_in(tmp_path, '[server]\nurl = "ws://x/y"\n') == [
        "server.url is not a setting; did you mean upstream.url?"
    ]


def test_a_key_outside_any_section_is_pointed_to(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "port = 1\n") == ["port is not a setting; did you mean server.port?"]


def test_an_unknown_section_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "[sever]\nport = 1\n") == ["there is no section [sever]; did you mean server?"]


def test_a_section_that_is_a_value_is_refused(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "server = 1\n") == ["server is a section: write [server] and its keys below it"]


def test_an_unknown_variable_is_refused_with_the_nearest_one() -> None:
    assert problems(PARLEY_SERVER_PROT="1") == [
        "env PARLEY_SERVER_PROT: names no setting; did you mean PARLEY_SERVER_PORT?"
    ]


def test_the_value_of_an_unknown_variable_is_not_repeated() -> None:
    assert "hunter2" not in str(problems(PARLEY_UPSTREAM_API_KEY="hunter2"))


def test_variables_of_other_programs_and_of_the_client_are_left_alone() -> None:
    environ = {"PATH": "/bin", "parley_x": "1", "PARLEYS": "1", "PARLEY_API_KEY": "key", "PARLEY_URL": "ws://x"}
    environ["PARLEY_ADMIN_URL"] = "http://x"
    assert load(environ=environ).settings == Settings()


def test_what_kubernetes_says_of_a_service_called_parley_is_left_alone() -> None:
    environ = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "PARLEY_PORT": "tcp://10.0.0.2:8080",
        "PARLEY_PORT_8080_TCP_ADDR": "10.0.0.2",
        "PARLEY_SERVICE_HOST": "10.0.0.2",
        "PARLEY_SERVICE_PORT_HTTP": "8080",
        "PARLEY_SERVER_PORT": "tcp://10.0.0.3:8080",
        "PARLEY_SERVER_SERVICE_PORT": "8080",
    }
    assert load(environ=environ).settings == Settings()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("server.port=65536", "server.port must be a whole number from 0 to 65535, not 65536"),
        ("server.port=-1", "server.port must be a whole number from 0 to 65535, not -1"),
        ("server.port=80.5", "server.port must be a whole number from 0 to 65535, not 80.5"),
        ("server.host=", "server.host must be text that is not empty"),
        ("server.max_sessions=0", "server.max_sessions must be a whole number from 1 to 1000000, not 0"),
        ("server.ping_interval_s=0", "server.ping_interval_s must be a number above 0, at most 86400, not 0"),
        ("server.ping_interval_s=inf", "server.ping_interval_s must be a number above 0, at most 86400, not inf"),
        ("session.pace_window_s=nan", "session.pace_window_s must be a number from 0, at most 86400, not nan"),
        ("session.forward_empty_deltas=maybe", "session.forward_empty_deltas must be true or false, not maybe"),
        ("log.level=loud", "log.level must be one of debug, info, warning, error, not loud"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(assignment: str, message: str) -> None:
    assert problems(assignments=[assignment]) == [f"flag --set: {message}"]


@pytest.mark.parametrize("value", ['"8080"', "true", "80.0", "[80]", "1979-05-27"])
def test_a_file_is_read_strictly(value: str, tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path, f"[server]\nport = {value}\n")
    assert problem.startswith("server.port must be a whole number from 0 to 65535")


def test_a_command_line_in_a_list_is_refused_without_being_repeated(tmp_path: Path) -> None:
    assert problems_in(tmp_path, '[launch]\ncommand = ["vllm", "--api-key", "hunter2"]\n') == [
        "launch.command must be text, not a list"
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://localhost:8000", "must be the whole WebSocket URL; did you mean ws://localhost:8000/v1/realtime?"),
        ("https://gpu/v1/realtime", "must be the whole WebSocket URL; did you mean wss://gpu/v1/realtime?"),
        ("ws://[::1]:8000", "must be the whole WebSocket URL; did you mean ws://[::1]:8000/v1/realtime?"),
        ("localhost:8000", "must be a WebSocket URL, such as ws://HOST:PORT/v1/realtime"),
        ("ws://host:port/v1/realtime", "is not a URL; it looks like ws://HOST:PORT/v1/realtime"),
        ("ws://host/v1/realtime#x", "must not hold a fragment (#)"),
        (
            "wss://me:hunter2@host/v1/realtime",
            "must not hold a user or password; put the key into a file and name it in upstream.api_key_file",
        ),
    ],
)
def test_an_upstream_url_that_cannot_work_is_refused_with_the_fix(url: str, message: str) -> None:
    assert problems(PARLEY_UPSTREAM_URL=url) == [f"env PARLEY_UPSTREAM_URL: upstream.url {message}"]


def test_a_launch_command_with_an_open_quote_is_refused() -> None:
    assert problems(PARLEY_LAUNCH_COMMAND="vllm 'serve") == [
        "env PARLEY_LAUNCH_COMMAND: launch.command can't be split into words: No closing quotation"
    ]


def test_a_longest_wait_below_the_first_one_is_refused() -> None:
    assert problems(assignments=["launch.backoff_max_s=0.1"]) == [
        "flag --set: launch.backoff_max_s must be at least launch.backoff_initial_s, 0.5"
    ]


def test_a_rotation_that_is_forced_before_it_is_due_is_refused() -> None:
    (problem,) = problems(assignments=["session.rotate_after_s=900", "session.rotate_force_s=899"])
    assert problem.endswith("session.rotate_force_s must be at least session.rotate_after_s, 900")


def test_a_pace_window_that_no_model_can_work_with_is_refused() -> None:
    (problem,) = problems(assignments=["session.pace_window_s=0.5"])
    assert "session.pace_window_s must be 0 or at least 1" in problem


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert problems(config=path) == [f"file {path}: can't be read: No such file or directory"]


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path, "[server]\nport =\n")
    assert problem.startswith("is not TOML: ")
    assert "line 2" in problem


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_bytes(b"\xff\xfe")
    assert problems(config=path) == [f"file {path}: is not TOML: it is not UTF-8"]


def test_a_file_of_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_bytes(b"#" * 2_000_000)
    assert problems(config=path) == [f"file {path}: is larger than 1048576 bytes"]


@pytest.mark.parametrize(("source", "name"), [("flag --preset", "kaggle"), ("env PARLEY_PRESET", "kaggle")])
def test_an_unknown_preset_is_refused_with_the_known_ones(source: str, name: str) -> None:
    found = problems(preset=name) if source.startswith("flag") else problems(PARLEY_PRESET=name)
    assert found == [f"{source}: kaggle is not a preset; there are laptop, sagemaker"]


def test_an_assignment_without_a_value_is_refused() -> None:
    assert problems(assignments=["server.port"]) == [
        "flag --set: expected section.key=value, as in --set server.port=9000"
    ]


def test_the_sagemaker_preset_expects_vllm_beside_it() -> None:
    assert load(environ={}, preset="sagemaker").settings.upstream.url == "ws://127.0.0.1:8000/v1/realtime"


def test_in_the_sagemaker_preset_a_launched_server_brings_its_own_address() -> None:
    settings = load(
        environ={}, preset="sagemaker", flags=[FlagValue("launch.command", "vllm serve m --port 8123", "--launch")]
    ).settings
    child = model_server_child(settings, jitter=random.random)
    assert [spec.url for spec in member_specs(settings, child)] == ["ws://127.0.0.1:8123/v1/realtime"]


def test_an_upstream_url_outranks_the_launched_servers_own() -> None:
    environ = {"PARLEY_UPSTREAM_URL": "ws://127.0.0.1:9/v1/realtime", "PARLEY_LAUNCH_COMMAND": "vllm serve m"}
    settings = load(environ=environ).settings
    child = model_server_child(settings, jitter=random.random)
    assert child is not None
    assert [spec.url for spec in member_specs(settings, child)] == ["ws://127.0.0.1:9/v1/realtime"]


def test_a_named_model_server_is_not_accompanied_by_an_engine() -> None:
    settings = load(environ={"PARLEY_UPSTREAM_URL": "ws://gpu:8000/v1/realtime"}).settings
    assert model_server_child(settings, jitter=random.random) is None


def test_with_no_model_server_named_the_embedded_engine_is_launched() -> None:
    child = model_server_child(Settings(), jitter=random.random)
    assert child is not None
    assert [spec.url for spec in member_specs(Settings(), child)] == [f"ws://127.0.0.1:{child.port}/v1/realtime"]


def test_the_engines_command_carries_its_settings() -> None:
    engine = EngineSettings(kind="scripted", model_dir="my weights", max_sessions=3, decode_threads=2, port=8765)
    words = shlex.join(engine_command(engine)[1:])
    assert words == (
        "-P -m parley engine --engine scripted --port 8765 --model-dir 'my weights' --max-sessions 3 "
        "--decode-threads 2 --log-level info --log-format bare"
    )


def test_an_engine_of_defaults_gets_a_free_port_and_chooses_the_rest() -> None:
    words = engine_command(EngineSettings())
    assert words[words.index("--port") + 1] == "{port}"
    assert "--model-dir" not in words


def test_the_engine_takes_more_streams_on_more_cores() -> None:
    sessions = engine_sessions_max(EngineSettings())
    assert sessions >= 8
    assert sessions % 8 == 0


@pytest.mark.parametrize(
    ("environ", "budget"),
    [
        ({"PARLEY_ENGINE_MAX_SESSIONS": "3"}, 3),
        ({"PARLEY_ENGINE_MAX_SESSIONS": "3", "PARLEY_UPSTREAM_MAX_SESSIONS": "2"}, 2),
        ({"PARLEY_ENGINE_MAX_SESSIONS": "3", "PARLEY_UPSTREAM_MAX_SESSIONS": "64"}, 3),
        ({"PARLEY_LAUNCH_COMMAND": "vllm serve m", "PARLEY_UPSTREAM_MAX_SESSIONS": "64"}, 64),
        ({"PARLEY_LAUNCH_COMMAND": "vllm serve m"}, 0),
    ],
)
def test_a_launched_server_has_the_budget_that_it_is_known_to_take(environ: dict[str, str], budget: int) -> None:
    settings = load(environ=environ).settings
    (spec,) = member_specs(settings, model_server_child(settings, jitter=random.random))
    assert spec.max_sessions == budget


def test_every_setting_is_described() -> None:
    assert [key.dotted for key in KEYS.values() if not key.help.endswith((".", "…"))] == []


@pytest.mark.parametrize(("suffix", "unit"), [("_s", "s"), ("_bytes", "bytes")])
def test_a_name_ends_in_its_unit(suffix: str, unit: str) -> None:
    # A rate has a name of its own kind: so many per second.
    durations = [key for key in KEYS.values() if not key.name.endswith("_per_s")]
    assert [key.dotted for key in durations if key.name.endswith(suffix) != (key.unit == unit)] == []


def test_the_defaults_are_in_their_own_ranges() -> None:
    flags = [FlagValue(key.dotted, settings_view._literal(key.default).strip('"'), "--set") for key in KEYS.values()]
    assert load(environ={}, flags=flags).settings == Settings()


def test_the_sections_are_those_of_the_settings() -> None:
    assert (*SECTIONS, *TABLES) == tuple(field.name for field in fields(Settings))
