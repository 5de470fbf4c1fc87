"""Which discoveries the settings ask for, and how a file of model servers is read."""

from pathlib import Path

import pytest

from parley.aws import sdk
from parley.aws.failure import AwsError
from parley.core.errors import Fault, Retry
from parley.server.discovering import make_discoveries, read_upstreams
from parley.server.settings.document import UpstreamSettings
from parley.upstream.discovery.discovery import DiscoveryError
from parley.upstream.pool.member import MemberSpec

URL = "ws://gpu-1:8000/v1/realtime"


class FakePool:
    """Remembers what was added."""

    def __init__(self) -> None:
        self.added: list[MemberSpec] = []

    def add(self, spec: MemberSpec) -> bool:
        self.added.append(spec)
        return True

    def remove(self, spec: MemberSpec) -> None:
        raise AssertionError("nothing is removed")

    def change(self, spec: MemberSpec) -> None:
        raise AssertionError("nothing changes")


def test_where_all_servers_are_named_nothing_is_looked_up() -> None:
    assert make_discoveries(UpstreamSettings(url=URL), FakePool()) == []


async def test_the_addresses_of_a_name_are_members_by_the_same_url() -> None:
    pool = FakePool()
    (discovery,) = make_discoveries(UpstreamSettings(discover_dns="ws://127.0.0.1:8000/v1/realtime"), pool)
    await discovery.look()
    assert pool.added == [MemberSpec(url="ws://127.0.0.1:8000/v1/realtime", address="127.0.0.1")]


async def test_a_file_and_a_name_are_looked_at_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "servers.toml"
    path.write_text(f'[[upstreams]]\nurl = "{URL}"\nweight = 2.0\n')
    pool = FakePool()
    upstream = UpstreamSettings(discover_dns="ws://127.0.0.1:8000/v1/realtime", discover_file=str(path))
    discoveries = make_discoveries(upstream, pool)
    for discovery in discoveries:
        await discovery.look()
    assert [(spec.url, spec.address, spec.weight) for spec in pool.added] == [
        ("ws://127.0.0.1:8000/v1/realtime", "127.0.0.1", 1.0),
        (URL, "", 2.0),
    ]


def test_an_entry_has_the_keys_of_the_settings_file() -> None:
    content = f'[[upstreams]]\nurl = "{URL}"\nname = "one"\nmax_sessions = 7\nmodel = "m"\n'.encode()
    (spec,) = read_upstreams(content)
    assert (spec.url, spec.name, spec.max_sessions, spec.model) == (URL, "one", 7, "m")


def test_a_key_is_read_from_the_file_that_the_entry_names(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("hunter2\n")
    (spec,) = read_upstreams(f'[[upstreams]]\nurl = "{URL}"\napi_key_file = "{key}"\n'.encode())
    assert spec.api_key == "hunter2"
    assert "hunter2" not in repr(spec)


@pytest.mark.parametrize("content", [b"", b"# none yet\n", b"upstreams = []\n"])
def test_a_file_without_entries_has_no_servers(content: bytes) -> None:
    assert list(read_upstreams(content)) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[[upstreams]\n", "it is not TOML"),
        (b"a = '\xff'\n", "it is not UTF-8"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"[server]\nport = 1\n", r"it may have \[\[upstreams\]\] alone, and has server"),
        (b"upstreams = 3\n", "upstreams is a list of tables"),
        (b"[[upstreams]]\nweight = 1.0\n", "upstreams, entry 1, url is missing"),
        (b'[[upstreams]]\nurl = "ws://a/v1/realtime"\n[[upstreams]]\nurl = "http://b"\n', "upstreams, entry 2, "),
        (b'[[upstreams]]\nurl = "ws://a/v1/realtime"\nwait = 2\n', "upstreams, entry 1, wait is not a key of it"),
        (b'[[upstreams]]\nurl = "ws://a/v1/realtime"\napi_key_file = "nowhere/key"\n', "can't be read"),
    ],
)
def test_a_file_that_is_wrong_says_what_is_wrong_with_which_entry(content: bytes, problem: str) -> None:
    with pytest.raises(DiscoveryError, match=problem):
        read_upstreams(content)


def test_an_endpoint_of_sagemakers_without_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'[[upstreams]]\nurl = "sagemaker://voxtral?region=eu-west-1"\n'

    def missing() -> None:
        raise AwsError("sdk-missing", "AWS's SDK is not installed.", fault=Fault.CLIENT, retry=Retry.NEVER)

    monkeypatch.setattr(sdk, "check", missing)
    with pytest.raises(DiscoveryError, match="sdk-missing: AWS's SDK is not installed"):
        read_upstreams(content)
    monkeypatch.setattr(sdk, "check", lambda: None)
    assert [spec.url for spec in read_upstreams(content)] == ["sagemaker://voxtral?region=eu-west-1"]


def test_a_key_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(DiscoveryError) as raised:
        read_upstreams(b'[[upstreams]]\nurl = "ws://me:hunter2@a/v1/realtime"\n')
    assert "hunter2" not in str(raised.value)
