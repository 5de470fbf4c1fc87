"""The settings of model servers that come and go."""

import pytest

from parley.server.settings.sources import SettingsError, load

NAME = "ws://voxtral.models.example:8000/v1/realtime"
DNS, FILE = f"upstream.discover_dns={NAME}", "upstream.discover_file=servers.toml"


def problems(*assignments: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(environ={}, assignments=assignments)
    return [str(problem).removeprefix("flag --set: ") for problem in raised.value.problems]


@pytest.mark.parametrize("assignment", [DNS, FILE])
def test_where_model_servers_are_discovered_no_engine_is_embedded(assignment: str) -> None:
    settings = load(environ={}, assignments=(assignment,)).settings
    assert settings.upstream.is_discovered
    assert not settings.embeds_engine
    assert settings.has_own_sessions


@pytest.mark.parametrize("assignment", [DNS, FILE])
def test_a_presets_model_server_yields_to_those_that_are_discovered(assignment: str) -> None:
    assert load(environ={}, preset="sagemaker", assignments=(assignment,)).settings.upstream.url == ""


def test_model_servers_may_be_named_beside_those_that_are_discovered() -> None:
    settings = load(environ={}, assignments=(DNS, FILE, "upstream.url=ws://b/v1/realtime")).settings
    assert settings.upstream.url == "ws://b/v1/realtime"


@pytest.mark.parametrize("assignment", [DNS, FILE])
def test_a_server_that_is_launched_is_the_only_one(assignment: str) -> None:
    key = assignment.partition("=")[0]
    assert problems(assignment, "launch.command=vllm serve") == [
        f"{key} can't be set with launch.command, whose server is then the only one; start all of them apart from "
        "Parley, or let it use the one alone"
    ]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://a:8000", "must be the whole WebSocket URL; did you mean ws://a:8000/v1/realtime?"),
        ("voxtral.models.example", "must be a WebSocket URL, such as ws://HOST:PORT/v1/realtime"),
        ("sagemaker://endpoint", "must be a WebSocket URL, such as ws://HOST:PORT/v1/realtime"),
        (
            "ws://me:hunter2@a/v1/realtime",
            "must not hold a user or password; put the key into a file and name it in upstream.api_key_file",
        ),
    ],
)
def test_a_name_to_look_up_is_a_whole_realtime_url(url: str, problem: str) -> None:
    assert problems(f"upstream.discover_dns={url}") == [f"upstream.discover_dns {problem}"]
