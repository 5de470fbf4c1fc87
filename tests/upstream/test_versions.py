"""What follows from the version of a vLLM server."""

import pytest

from parley.upstream.health.versions import UNJUDGED, Level, judge


@pytest.mark.parametrize("version", ["0.32.0", "0.33.0", "0.32.0+cpu", "0.32.0rc1", "0.33.0.post1", "1.0.0", "v0.40"])
def test_a_release_without_known_faults_is_used_without_a_word(version: str) -> None:
    assert judge(version) == UNJUDGED


@pytest.mark.parametrize("version", ["0.25.1", "0.30.0", "0.31.0", "0.25.0+cu129"])
def test_releases_whose_engine_ends_at_the_context_limit_are_used_with_a_warning(version: str) -> None:
    judgement = judge(version)
    assert judgement.level is Level.WARNED
    assert not judgement.is_refused
    assert "max_model_len" in " ".join(judgement.reasons)


@pytest.mark.parametrize("version", ["0.16.0", "0.19.1", "0.20.2", "0.24.0"])
def test_releases_that_kill_idle_streams_are_refused_with_the_fix(version: str) -> None:
    judgement = judge(version)
    assert judgement.is_refused
    assert "60 s" in " ".join(judgement.reasons)
    assert "allow_old_versions" in judgement.reasons[-1]


@pytest.mark.parametrize("version", ["0.16.0", "0.19.1", "0.24.0"])
def test_releases_that_kill_idle_streams_are_used_with_a_warning_where_that_is_allowed(version: str) -> None:
    judgement = judge(version, allows_old=True)
    assert judgement.level is Level.WARNED
    assert "allow_old_versions" not in " ".join(judgement.reasons)


@pytest.mark.parametrize("version", ["0.1.0", "0.11.0", "0.15.1", "0.9.2"])
def test_releases_without_the_realtime_api_are_refused_whatever_is_allowed(version: str) -> None:
    judgement = judge(version, allows_old=True)
    assert judgement.is_refused
    assert "no realtime API" in judgement.reasons[0]


@pytest.mark.parametrize("version", ["0.16.0", "0.19.1"])
def test_releases_that_refuse_every_websocket_with_a_key_are_refused_when_there_is_one(version: str) -> None:
    judgement = judge(version, has_key=True, allows_old=True)
    assert judgement.is_refused
    assert "--api-key" in judgement.reasons[-1]


def test_a_key_is_no_fault_of_releases_that_take_it() -> None:
    assert judge("0.20.2", has_key=True, allows_old=True).level is Level.WARNED


def test_releases_that_take_any_name_for_their_model_say_so() -> None:
    assert any("model name" in reason for reason in judge("0.18.1", allows_old=True).reasons)
    assert not any("model name" in reason for reason in judge("0.19.1", allows_old=True).reasons)


@pytest.mark.parametrize(
    "version", ["0.1.dev1+g0123abc", "0.34.0.dev12", "0.15.2.dev3+gabc", "nightly", "", "0", "0.33.0-fork of mine", "²"]
)
def test_what_is_no_release_is_used_with_a_note(version: str) -> None:
    judgement = judge(version, has_key=True)
    assert judgement.level is Level.OK
    assert len(judgement.reasons) == 1
