"""What the rooms are told of the settings, and what a person is told when that can't be."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from parley.aws.failure import AwsError
from parley.core.errors import Fault, Retry
from parley.server import options
from parley.server.options import container_options, make_pool, pool_options, read_key
from parley.server.settings import ServerSettings, Settings, UpstreamSettings
from parley.server.start import StartError
from parley.upstream.member import MemberSpec
from parley.upstream.pool_maker import PoolOptions


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
