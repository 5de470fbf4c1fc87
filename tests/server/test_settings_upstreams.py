"""The list of model servers that are not alike: what an entry may say, and what the pool is told of it."""

from pathlib import Path

import pytest

from parley.server.settings import view as settings_view
from parley.server.settings.document import Settings, UpstreamEntry
from parley.server.settings.sources import SettingsError, load
from parley.server.start import StartError
from parley.server.upstream_specs import member_spec, member_specs
from parley.upstream.pool.member import MemberSpec

A, B = "ws://a:8000/v1/realtime", "wss://b/v1/realtime"


def settings(tmp_path: Path, text: str, preset: str | None = None) -> Settings:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return load(environ={}, config=path, preset=preset).settings


def entries(*lines: str) -> str:
    return "".join(f"[[upstreams]]\n{line}\n" for line in lines)


def test_an_entry_says_what_is_its_own_and_leaves_the_rest_to_all(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("zzschluessel\n")
    text = entries(
        f"""url = "{A}"\nname = "big"\nweight = 2\nlabels = ["zone=a", "gpu=l4"]\nmodel = "m"\n"""
        f"""api_key_file = "{tmp_path / "key"}"\nmax_sessions = 32""",
        f'url = "{B}"',
    )
    big, other = member_specs(settings(tmp_path, text), None)
    assert big == MemberSpec(
        url=A,
        name="big",
        weight=2.0,
        labels=(("zone", "a"), ("gpu", "l4")),
        model="m",
        max_sessions=32,
        api_key="zzschluessel",
    )
    assert other == MemberSpec(url=B)
    assert "zzschluessel" not in repr(big)


def test_servers_of_a_list_are_not_accompanied_by_an_engine(tmp_path: Path) -> None:
    found = settings(tmp_path, entries(f'url = "{A}"'))
    assert (found.names_model_server, found.embeds_engine) == (True, False)


def test_a_presets_address_yields_to_a_list(tmp_path: Path) -> None:
    found = settings(tmp_path, entries(f'url = "{A}"'), preset="sagemaker")
    assert [spec.url for spec in member_specs(found, None)] == [A]


def test_a_key_file_that_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    entry = UpstreamEntry(url=A, api_key_file=str(tmp_path / "none"))
    with pytest.raises(StartError, match="upstreams, entry 2, api_key_file can't be read"):
        member_spec(entry, 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (entries('name = "x"'), "upstreams, entry 1, url is missing: it says where the model server is"),
        (entries('url = "http://a/v1/realtime"'), "upstreams, entry 1, url must be the whole WebSocket URL"),
        (entries('url = "wss://me:hunter2@b/v1"'), "upstreams, entry 1, url must not hold a user or password"),
        (entries(f'url = "{A}"\nweight = 0'), "upstreams, entry 1, weight must be a number above 0"),
        (entries(f'url = "{A}"\nlabels = ["zone"]'), 'upstreams, entry 1, labels: entry 1 must be written "key=value"'),
        (entries(f'url = "{A}"\nlabels = ["a=1", "a=2"]'), "upstreams, entry 1, labels: a key must not come twice"),
        (entries(f'url = "{A}"', f'url = "{A}"'), "upstreams must not name a server twice"),
        (
            entries(f'url = "{A}"\nname = "x"', f'url = "{B}"\nname = "x"'),
            "upstreams name x 2 times; give each server a name of its own",
        ),
        (f'[upstream]\nurl = "{A}"\n' + entries(f'url = "{B}"'), "upstream.url can't be set beside [[upstreams]]"),
        (f'[upstream]\nurls = ["{A}"]\n' + entries(f'url = "{B}"'), "upstream.urls can't be set beside [[upstreams]]"),
        (
            '[launch]\ncommand = "vllm serve m"\n' + entries(f'url = "{B}"'),
            "launch.command can't be set beside [[upstreams]]",
        ),
        (
            "[upstream]\nspare_streams = 4\n" + entries(f'url = "{A}"\nmax_sessions = 4'),
            "upstream.spare_streams must be less than the streams of each model server, 4",
        ),
    ],
)
def test_a_list_that_cannot_be_meant_so_is_refused_with_the_fix(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, text)
    (found,) = [str(one) for one in raised.value.problems]
    assert problem in found
    assert "hunter2" not in found


def test_spare_streams_of_all_leave_some_for_new_sessions() -> None:
    with pytest.raises(SettingsError, match=r"upstream\.spare_streams must be less than"):
        load(environ={}, assignments=["upstream.max_sessions=8", "upstream.spare_streams=8"])


def test_a_listing_shows_no_key_of_an_entrys_address(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text(entries(f'url = "{A}?key=hunter2"'))
    loaded = load(environ={}, config=path)
    assert "hunter2" not in settings_view.as_text(loaded) + settings_view.as_json(loaded)
