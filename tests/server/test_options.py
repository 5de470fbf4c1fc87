"""What the rooms are told of the settings, and what a person is told when that can't be."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from parley.aws.failure import AwsError
from parley.core.errors import Fault, Retry
from parley.server import options
from parley.server.options import (
    admission_limits,
    container_options,
    gate_limits,
    make_pool,
    pool_options,
    read_key,
    session_limits,
)
from parley.server.settings.document import (
    AdmissionSettings,
    ServerSettings,
    SessionSettings,
    Settings,
    UpstreamSettings,
)
from parley.server.start import StartError
from parley.upstream.pool.maker import PoolOptions
from parley.upstream.pool.member import MemberSpec


def test_no_key_file_is_no_key() -> None:
    assert read_key("", "upstream.api_key_file") is None


def test_a_key_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("zzschluessel\n")
    assert read_key(str(tmp_path / "key"), "upstream.api_key_file") == "zzschluessel"


def test_a_key_file_that_is_not_text_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"zzschluessel\xff")
    with pytest.raises(StartError) as caught:
        read_key(str(tmp_path / "key"), "upstream.api_key_file")
    assert str(caught.value) == "key-unreadable: upstream.api_key_file can't be read: it is not text."


def test_model_servers_of_an_endpoint_are_reached_within_the_times_of_upstream() -> None:
    settings = Settings(upstream=UpstreamSettings(model="own", connect_timeout_s=1.5, probe_interval_s=0.5))
    told = pool_options(settings, api_key="k", model="other")
    assert (told.model, told.api_key, told.connect_timeout_s, told.probe_interval_s) == ("other", "k", 1.5, 0.5)


def test_a_container_may_send_what_a_client_may() -> None:
    told = container_options(Settings(server=ServerSettings(message_max_bytes=2048)))
    assert told.socket.frame_max_bytes == 2048
    assert (told.accept_timeout_s, told.socket.ping_interval_s) == (0.25, 60.0), "SageMaker's rules are kept"


def test_a_missing_sdk_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(specs: Sequence[MemberSpec], options: PoolOptions, on_change: object = None) -> None:
        raise AwsError("sdk-missing", "Install it so.", fault=Fault.CLIENT, retry=Retry.NEVER)

    monkeypatch.setattr(options, "vllm_pool", missing)
    with pytest.raises(StartError, match="sdk-missing: Install it so"):
        make_pool((MemberSpec(url="sagemaker://voxtral"),), PoolOptions())


def changed(section: object, name: str) -> Any:
    """The section with another value of this setting."""
    value = getattr(section, name)
    if isinstance(value, str):
        other: object = "drop-oldest"
    else:
        other = not value if isinstance(value, bool) else value + 1
    return replace(cast(Any, section), **{name: other})


@pytest.mark.parametrize("name", sorted({each.name for each in fields(SessionSettings)} - {"gather"}))
def test_every_setting_of_a_session_bounds_it(name: str) -> None:
    assert session_limits(Settings(session=changed(SessionSettings(), name))) != session_limits(Settings())


@pytest.mark.parametrize("name", sorted({each.name for each in fields(AdmissionSettings)} - {"tenant_max_sessions"}))
def test_every_setting_of_admission_bounds_who_comes_or_who_waits(name: str) -> None:
    def told(settings: Settings) -> object:
        return admission_limits(settings), gate_limits(settings)

    assert told(Settings(admission=changed(AdmissionSettings(), name))) != told(Settings())


@pytest.mark.parametrize(
    "name",
    [
        *("connect_timeout_s", "probe_interval_s", "probe_timeout_s", "probe_turn_interval_s", "probe_turn_timeout_s"),
        *("spare_streams", "lag_budget_s", "drain_timeout_s", "allow_old_versions"),
    ],
)
def test_every_setting_of_how_model_servers_are_looked_after_is_told_to_their_pool(name: str) -> None:
    def told(settings: Settings) -> PoolOptions:
        return pool_options(settings, api_key=None, model="")

    before, after = told(Settings()), told(Settings(upstream=changed(UpstreamSettings(), name)))
    assert before.probe is not None
    assert after.probe is not None
    # The speech of probe turns is made anew, and equals no other.
    assert replace(before, probe=replace(before.probe, speech=after.probe.speech)) != after
