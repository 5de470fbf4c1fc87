"""The settings of the model servers behind a node: one or several, and what is expected of their model."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from parley.core.profile import EMBEDDED, QWEN3_ASR, VOXTRAL, ModelProfile
from parley.server.launch import memory_watch, model_profile, model_server_child
from parley.server.settings import view as settings_view
from parley.server.settings.document import Settings, UpstreamSettings
from parley.server.settings.sources import Loaded, SettingsError, load
from parley.server.upstream_specs import member_specs

A, B = "ws://a:8000/v1/realtime", "wss://b/v1/realtime"


def in_file(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return load(environ={}, config=path)


def problems(*assignments: str, preset: str | None = None) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(environ={}, preset=preset, assignments=assignments)
    return [str(problem).removeprefix("flag --set: ") for problem in raised.value.problems]


def test_several_model_servers_are_a_list_in_a_file(tmp_path: Path) -> None:
    assert in_file(tmp_path, f'[upstream]\nurls = ["{A}", "{B}"]\n').settings.upstream.urls == (A, B)


@pytest.mark.parametrize("text", [f"{A},{B}", f" {A} , {B}", f'["{A}", "{B}"]'])
def test_several_model_servers_are_separated_by_commas_in_text_or_written_as_in_a_file(text: str) -> None:
    assert load(environ={"PARLEY_UPSTREAM_URLS": text}).settings.upstream.urls == (A, B)


def test_no_model_servers_are_an_empty_text() -> None:
    assert load(environ={"PARLEY_UPSTREAM_URLS": ""}).settings == Settings()


@pytest.mark.parametrize("text", [f"{A},", "[", '["ws://a/x", ""]', "[1, 2]"])
def test_a_list_that_is_none_is_refused(text: str) -> None:
    assert problems(f"upstream.urls={text}") == ["upstream.urls must be a list of at most 64 texts that are not empty"]


@pytest.mark.parametrize("value", [f'"{A}"', "3"])
def test_a_file_needs_a_list(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match=r"upstream\.urls must be a list of at most 64 texts") as raised:
        in_file(tmp_path, f"[upstream]\nurls = {value}\n")
    assert "ws://" not in str(raised.value)


@pytest.mark.parametrize(
    ("assignments", "problem"),
    [
        ((f"upstream.urls={A},http://b/v1/realtime",), "upstream.urls, entry 2, must be the whole WebSocket URL"),
        ((f"upstream.urls={A},wss://me:hunter2@b/v1",), "upstream.urls, entry 2, must not hold a user or password"),
        ((f"upstream.urls={A},{A}",), "upstream.urls must not name a server twice"),
        ((f"upstream.urls={A}", f"upstream.url={B}"), "upstream.urls and upstream.url can't both be set"),
        ((f"upstream.urls={A}", "launch.command=vllm serve m"), "upstream.urls can't be set with launch.command"),
        (("upstream.profile=whisper",), "upstream.profile must be one of auto, voxtral, embedded, qwen3-asr"),
        (("launch.rotate_memory_mb=-1",), "launch.rotate_memory_mb must be a whole number from 0"),
    ],
)
def test_model_servers_that_cannot_be_meant_so_are_refused_with_the_fix(
    assignments: Sequence[str], problem: str
) -> None:
    (found,) = problems(*assignments)
    assert found.startswith(problem)
    assert "hunter2" not in found


def test_a_presets_address_yields_to_several_model_servers() -> None:
    settings = load(environ={}, preset="sagemaker", assignments=[f"upstream.urls={A},{B}"]).settings
    assert (settings.upstream.url, [spec.url for spec in member_specs(settings, None)]) == ("", [A, B])


def test_several_model_servers_are_not_accompanied_by_an_engine() -> None:
    settings = load(environ={}, assignments=[f"upstream.urls={A},{B}"]).settings
    assert model_server_child(settings, jitter=random.random) is None


def test_a_listing_shows_no_key_of_any_address() -> None:
    loaded = load(environ={}, assignments=[f"upstream.urls={A}?key=hunter2,{B}"])
    shown = settings_view.as_text(loaded) + settings_view.as_json(loaded)
    assert "hunter2" not in shown
    assert B in shown


@pytest.mark.parametrize(
    ("set_to", "model", "profile"),
    [
        ("auto", "mistralai/Voxtral-Mini-4B-Realtime-2602", VOXTRAL),
        ("auto", "tiny-en", EMBEDDED),
        ("auto", "scripted", VOXTRAL),
        ("auto", "Qwen/Qwen3-ASR-1.7B", QWEN3_ASR),
        ("voxtral", "tiny-en", VOXTRAL),
        ("embedded", "my-own", EMBEDDED),
        ("qwen3-asr", "my-own", QWEN3_ASR),
    ],
)
def test_a_models_profile_is_that_of_its_name_unless_it_is_set(set_to: str, model: str, profile: ModelProfile) -> None:
    settings = load(environ={}, assignments=[f"upstream.profile={set_to}"]).settings
    assert model_profile(settings.upstream, model) is profile


def test_the_profile_is_found_by_default() -> None:
    assert UpstreamSettings().profile == "auto"


def test_memory_is_watched_only_where_a_limit_is_set_and_a_server_is_launched() -> None:
    launched = load(environ={}, assignments=["launch.command=vllm serve m", "launch.rotate_memory_mb=9"]).settings
    elsewhere = load(environ={}, assignments=[f"upstream.url={A}", "launch.rotate_memory_mb=9"]).settings
    for settings, is_watched in ((launched, True), (elsewhere, False), (Settings(), False)):
        child = model_server_child(settings, jitter=random.random)
        assert (memory_watch(settings, child, lambda: None) is not None) is is_watched
