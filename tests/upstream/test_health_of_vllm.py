"""What follows from a model server's version, and from what its engines say of their load."""

import json

import pytest

from parley.upstream.health.engine_metrics import EngineLoad
from parley.upstream.health.health import PassiveHealth
from parley.upstream.health.versions import UNJUDGED, Level
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.logs import LogWatch
from tests.support.waiting import Changes
from tests.upstream.metrics_text import metrics_text
from tests.upstream.test_health import QUICK_S, Watch, probing, response, until_asked


def has_version(vllm: FakeVllm, version: str, **more: str) -> None:
    vllm.raw_answers["/version"] = response(json.dumps({"version": version, **more}).encode())


def has_load(vllm: FakeVllm, **load: float) -> None:
    vllm.raw_answers["/metrics"] = response(metrics_text(**load))


class LoadWatch(Watch):
    """Notices every call, also one that reports no change of `ready`."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()

    def __call__(self, ready: bool) -> None:
        super().__call__(ready)
        self.changes.notify()


# ---- the version


async def test_a_server_of_a_refused_version_is_not_ready_and_the_log_says_why_once(
    vllm: FakeVllm, log: LogWatch
) -> None:
    has_version(vllm, "0.24.0")
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await until_asked(vllm, "/version", 3)
        assert (health.ready, health.version, health.judgement.level) == (False, "0.24.0", Level.REFUSED)
        health.seen()
        assert not health.ready
    assert watch.reported == []
    refusals = [message for message in log.messages if "is refused" in message]
    assert len(refusals) == 1
    assert "version 0.24.0" in refusals[0]
    assert "upstream.allow_old_versions" in refusals[0]


async def test_a_refused_server_that_is_upgraded_is_used(vllm: FakeVllm) -> None:
    has_version(vllm, "0.15.0")
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await until_asked(vllm, "/version", 2)
        has_version(vllm, "0.33.0")
        await watch.until(True)
        assert health.judgement == UNJUDGED


async def test_a_refused_server_is_not_asked_more_often_than_others(vllm: FakeVllm) -> None:
    has_version(vllm, "0.15.0")
    async with probing(vllm.url, probe_interval_s=600.0), probing(vllm.url) as other:
        await vllm.changes.until("the other is asked often", lambda: len(vllm.requests) > 30)
        assert not other.ready


async def test_an_old_version_is_used_where_that_is_allowed_and_the_log_warns_once(
    vllm: FakeVllm, log: LogWatch
) -> None:
    has_version(vllm, "0.24.0")
    watch = Watch()
    async with probing(vllm.url, watch, allows_old_versions=True) as health:
        await watch.until(True)
        assert health.judgement.level is Level.WARNED
        health.lost()
        await watch.until(True, False, True)
    assert len([message for message in log.messages if "a version with faults: 0.24.0" in message]) == 1


async def test_a_key_is_held_against_releases_that_refuse_every_websocket_then(vllm: FakeVllm) -> None:
    has_version(vllm, "0.19.1")
    async with probing(vllm.url, api_key="secret", allows_old_versions=True) as health:
        await until_asked(vllm, "/version", 2)
        assert health.judgement.is_refused


async def test_a_version_between_releases_is_used_with_a_note(vllm: FakeVllm, log: LogWatch) -> None:
    has_version(vllm, "0.1.dev1+gabc")
    watch = Watch()
    async with probing(vllm.url, watch):
        await watch.until(True)
    assert any("between releases" in message for message in log.messages)


@pytest.mark.parametrize("models", [{"owned_by": "parley"}, {"owned_by": "someone"}])
async def test_a_server_that_is_not_vllm_is_not_judged_by_vllms_versions(
    vllm: FakeVllm, models: dict[str, str]
) -> None:
    has_version(vllm, "0.1.0")
    vllm.models = json.dumps({"data": [{"id": MODEL, **models}]}).encode()
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        assert (health.version, health.judgement) == ("0.1.0", UNJUDGED)


async def test_the_embedded_engine_is_not_judged_by_vllms_versions(vllm: FakeVllm) -> None:
    has_version(vllm, "0.1.0", engine="tiny-en")
    watch = Watch()
    async with probing(vllm.url, watch) as health:
        await watch.until(True)
        assert health.judgement == UNJUDGED


async def test_vllm_is_judged_where_it_says_that_it_is_vllm(vllm: FakeVllm) -> None:
    has_version(vllm, "0.24.0")
    vllm.models = json.dumps({"data": [{"id": MODEL, "owned_by": "vllm"}, {"id": "n" * 300}]}).encode()
    async with probing(vllm.url) as health:
        await until_asked(vllm, "/version", 2)
        assert health.judgement.is_refused
        assert health.models == (MODEL,)


# ---- the load


async def test_the_load_is_known_of_a_server_that_shows_it(vllm: FakeVllm) -> None:
    has_load(vllm, running=3, deferred=8, kv=0.5)
    async with probing(vllm.url, load_interval_min_s=QUICK_S) as health:
        load = EngineLoad(running=3, waiting=8, waiting_for_audio=8, kv_cache_usage=0.5)
        await until_asked(vllm, "/metrics", 2)
        assert (health.load, health.has_room) == (load, True)


async def test_a_server_whose_streams_wait_for_room_is_full_until_they_do_not(vllm: FakeVllm) -> None:
    has_load(vllm, running=3, capacity=1)
    watch = LoadWatch()
    async with probing(vllm.url, watch, load_interval_min_s=QUICK_S) as health:
        await watch.changes.until("it is full", lambda: health.ready and not health.has_room)
        has_load(vllm, running=3, capacity=0)
        await watch.changes.until("it has room", lambda: health.has_room)
        assert health.ready
    assert watch.reported[-1] is True


async def test_a_full_server_whose_metrics_fail_is_taken_to_have_room(vllm: FakeVllm) -> None:
    has_load(vllm, capacity=1)
    watch = LoadWatch()
    async with probing(vllm.url, watch, load_interval_min_s=QUICK_S, probe_timeout_s=0.5) as health:
        await watch.changes.until("it is full", lambda: not health.has_room)
        vllm.raw_answers["/metrics"] = b"garbage\r\n\r\n"
        await watch.changes.until("it has room", lambda: health.has_room)
        assert health.ready
        has_load(vllm, capacity=1)
        await watch.changes.until("it is full again", lambda: not health.has_room)


async def test_what_a_server_said_is_forgotten_when_it_is_lost(vllm: FakeVllm) -> None:
    has_load(vllm, capacity=1)
    watch = LoadWatch()
    async with probing(vllm.url, watch, probe_interval_s=600.0) as health:
        await watch.changes.until("it is full", lambda: not health.has_room)
        health.lost()
        assert (health.load, health.has_room) == (None, True)


async def test_a_server_without_vllms_metrics_is_asked_for_them_once(vllm: FakeVllm) -> None:
    async with probing(vllm.url, load_interval_min_s=QUICK_S) as health:
        await until_asked(vllm, "/health", 20)
        assert [one.path for one in vllm.requests].count("/metrics") == 1
        assert (health.load, health.has_room) == (None, True)


async def test_a_server_that_comes_back_is_asked_for_its_metrics_anew(vllm: FakeVllm) -> None:
    async with probing(vllm.url, load_interval_min_s=QUICK_S) as health:
        await until_asked(vllm, "/metrics", 1)
        await until_asked(vllm, "/health", 5)
        has_load(vllm, running=1, kv=0.0)
        health.lost()
        await until_asked(vllm, "/metrics", 3)
        assert health.load == EngineLoad(running=1)


def test_a_server_that_can_not_be_asked_is_neither_judged_nor_full() -> None:
    health = PassiveHealth("an endpoint")
    assert (health.version, health.judgement, health.load, health.has_room) == ("", UNJUDGED, None, True)
