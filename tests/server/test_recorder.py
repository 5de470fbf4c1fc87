"""Keeping one session beside its life: what is taken, what is written, and what becomes of it when that fails."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from parley.access.caller import Caller
from parley.core.content import Audio, Text
from parley.core.effects import KeepTurn
from parley.core.errors import ParleyError
from parley.core.retention import Retention, RetentionTerms
from parley.server.keeper import Keeper, KeepingLimits
from parley.server.recorder import Recorder
from parley.store.retention.archive import Archive
from parley.store.retention.entry import Entry, KeptAudio, KeptTurn
from tests.store.retention.records import Clock, archive_in, read
from tests.support.audit import AuditNotes, Note
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.waiting import bounded

OWNER = Caller("ab" * 32, "key:one", "acme")
SESSION = "sess-1"
CANARY = "zzkanarienvogel"


def heard(samples: int, seed: int = 0) -> tuple[Audio, bytes]:
    sound = pcm(samples / 16_000, seed)
    return Audio(base64.b64encode(sound), samples), sound


def a_turn(item: int = 1) -> KeepTurn:
    return KeepTurn(item, 0, 1_600, Text.of(CANARY))


@dataclass
class Scene:
    """A keeper of its own clock."""

    archive: Archive
    keeper: Keeper
    audit: AuditNotes
    clock: Clock
    limits: KeepingLimits = field(default_factory=KeepingLimits)

    def recorder(self, retention: Retention = Retention.DEBUG_AUDIO, at: int = 0) -> Recorder:
        return self.keeper.recorder(SESSION, OWNER, retention, at)

    async def written(self) -> None:
        """Until nothing is at work any more."""
        while self.keeper._tasks:
            await bounded("it is written", asyncio.wait(self.keeper._tasks))

    async def entries(self) -> Sequence[Entry]:
        await self.written()
        return (await read(self.archive, SESSION))[0]


def scene_with(tmp_path: Path, limits: KeepingLimits | None = None) -> Scene:
    clock, audit = Clock(), AuditNotes()
    archive = archive_in(tmp_path, clock)
    terms = {"acme": RetentionTerms(Retention.TRANSCRIPT, Retention.DEBUG_AUDIO, is_offered=True)}
    return Scene(archive, Keeper(archive, terms, audit, limits, clock=clock), audit, clock)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = scene_with(tmp_path)
    yield scene
    await scene.keeper.close()


# ---- what is taken


async def test_audio_that_was_taken_is_kept_and_what_was_not_is_not(scene: Scene) -> None:
    recorder = scene.recorder()
    (one, first), (two, _), (three, third) = heard(1_600), heard(1_600, 1), heard(800, 2)
    recorder.hear(one, 1_600)
    # Of a connection that was superseded: the cursor stays where it was.
    recorder.hear(two, 1_600)
    recorder.hear(three, 2_400)
    recorder.finish("client-ended")
    assert await scene.entries() == [KeptAudio(0, first + third)]


async def test_audio_before_the_recording_began_is_not_its_own(scene: Scene) -> None:
    recorder = scene.recorder(at=16_000)
    audio, sound = heard(1_600)
    recorder.hear(audio, 16_000)
    recorder.hear(audio, 17_600)
    recorder.finish("client-ended")
    assert await scene.entries() == [KeptAudio(16_000, sound)]


async def test_audio_is_written_every_two_seconds_and_before_the_text_that_it_is_of(scene: Scene) -> None:
    recorder = scene.recorder()
    piece, sound = heard(16_000)
    for number in range(1, 4):
        recorder.hear(piece, 16_000 * number)
    recorder.keep(a_turn())
    recorder.finish("client-ended")
    longer = KeptAudio(0, sound * 3)
    assert await scene.entries() == [longer, KeptTurn(1, 0, 1_600, Text.of(CANARY))]


async def test_what_waits_is_written_while_the_session_goes_on(scene: Scene) -> None:
    recorder = scene.recorder()
    recorder.keep(a_turn(1))
    assert len(await scene.entries()) == 1
    recorder.keep(a_turn(2))
    assert len(await scene.entries()) == 2
    recorder.finish("client-ended")
    assert len(await scene.entries()) == 2


async def test_of_a_session_in_which_nothing_was_said_nothing_is_kept(scene: Scene) -> None:
    scene.recorder().finish("client-ended")
    await scene.written()
    assert await scene.archive.find(SESSION) == []
    assert scene.keeper._recorders == {}


# ---- the end


async def test_after_the_end_nothing_more_is_taken(scene: Scene) -> None:
    recorder = scene.recorder()
    recorder.keep(a_turn())
    recorder.finish("client-ended")
    recorder.keep(a_turn(2))
    recorder.hear(heard(160)[0], 160)
    recorder.finish("twice")
    assert len(await scene.entries()) == 1


async def test_what_was_kept_is_shredded_when_nothing_is_to_be(scene: Scene) -> None:
    recorder = scene.recorder()
    recorder.keep(a_turn())
    await scene.written()
    recorder.keep(a_turn(2))
    recorder.discard()
    await scene.written()
    assert await scene.archive.find(SESSION) == []
    assert scene.audit.notes == [Note("purge", "key:one", SESSION, "acme", "ok")]


async def test_to_shred_nothing_is_nothing_to_note(scene: Scene) -> None:
    scene.recorder().discard()
    await scene.written()
    assert scene.audit.notes == []


async def test_a_purge_stops_the_recording_that_is_under_way(scene: Scene) -> None:
    recorder = scene.recorder()
    recorder.keep(a_turn())
    assert await scene.keeper.purge(SESSION) in (0, 1)
    recorder.keep(a_turn(2))
    recorder.finish("client-ended")
    await scene.written()
    assert await scene.archive.find(SESSION) == []
    assert scene.keeper._recorders == {}


async def test_a_purge_stops_a_recording_that_rests(scene: Scene) -> None:
    recorder = scene.recorder()
    recorder.keep(a_turn())
    await scene.written()
    assert await scene.keeper.purge(SESSION) == 1
    recorder.keep(a_turn(2))
    await scene.written()
    assert await scene.archive.find(SESSION) == []


# ---- what fails


async def test_a_disk_that_fails_ends_the_recording_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    recorder = scene.recorder()
    recorder.keep(a_turn())
    await scene.written()
    monkeypatch.setattr(scene.archive._folder, "append", fail)
    recorder.keep(a_turn(2))
    await scene.written()
    recorder.keep(a_turn(3))
    recorder.finish("client-ended")
    entries = await scene.entries()
    assert len(entries) == 1
    assert scene.audit.notes == [Note("retain", "key:one", SESSION, "acme", "retention-unavailable")]
    assert any("is no longer kept: retention-unavailable" in message for message in log.messages)
    assert CANARY not in log.everything
    assert (scene.keeper._queued_bytes, scene.keeper._recorders) == (0, {})


async def test_a_bug_ends_the_recording_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    log.expect_errors("parley.retention")

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scene.archive, "begin", broken)
    scene.recorder().keep(a_turn())
    await scene.written()
    assert scene.audit.notes == [Note("retain", "key:one", SESSION, "acme", "internal-error")]


async def test_a_disk_that_is_too_slow_ends_the_recording(tmp_path: Path) -> None:
    scene = scene_with(tmp_path, KeepingLimits(queue_max_bytes=600))
    recorder = scene.recorder()
    recorder.keep(a_turn(1))
    recorder.keep(a_turn(2))
    recorder.keep(a_turn(3))
    recorder.finish("client-ended")
    await scene.written()
    assert scene.audit.notes == [Note("retain", "key:one", SESSION, "acme", "retention-unavailable")]
    assert (scene.keeper._queued_bytes, scene.keeper._recorders) == (0, {})
    await scene.keeper.close()


async def test_at_the_bound_of_one_session_the_log_says_so_once(tmp_path: Path, log: LogWatch) -> None:
    scene = scene_with(tmp_path, KeepingLimits(session_max_bytes=120))
    recorder = scene.recorder()
    for item in (1, 2, 3, 4):
        recorder.keep(a_turn(item))
        await scene.written()
    recorder.finish("client-ended")
    assert 0 < len(await scene.entries()) < 4
    assert sum("as much as may be kept" in message for message in log.messages) == 1
    await scene.keeper.close()


# ---- the node


def test_a_tenants_terms_are_its_own(tmp_path: Path) -> None:
    keeper = scene_with(tmp_path).keeper
    assert keeper.terms(OWNER).usual is Retention.TRANSCRIPT
    assert keeper.terms(Caller("x")) == RetentionTerms(is_offered=True)


@pytest.mark.parametrize(("retention", "seconds"), [(Retention.TRANSCRIPT, 86_400.0), (Retention.DEBUG_AUDIO, 3_600.0)])
async def test_audio_goes_sooner_than_text(scene: Scene, retention: Retention, seconds: float) -> None:
    recorder = scene.recorder(retention)
    recorder.keep(a_turn())
    await scene.written()
    (kept,) = await scene.archive.find(SESSION)
    assert kept.header.expires_s == scene.clock.now + seconds
    assert (kept.header.tenant, kept.header.principal, kept.header.retention) == ("acme", "ab" * 32, retention.value)


async def test_what_was_shredded_because_its_time_is_over_is_noted(scene: Scene, log: LogWatch) -> None:
    scene.keeper._swept(0, None)
    scene.keeper._swept(3, None)
    assert scene.audit.notes == [Note("expire", "", "", "", "ok")]
    assert any("3 records" in message for message in log.messages)


async def test_a_sweep_that_keeps_failing_is_told_once(scene: Scene, log: LogWatch) -> None:
    log.expect_errors("parley.retention")
    for _ in range(2):
        scene.keeper._swept(0, ParleyError("retention-unavailable", "The folder says: gone."))
    assert scene.audit.notes == [Note("expire", "", "", "", "retention-unavailable")]


async def test_a_disk_that_hangs_does_not_keep_the_node_from_ending(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("parley.server.keeper._CLOSE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(scene.archive, "begin", hang)
    scene.recorder().keep(a_turn())
    await bounded("it closes", scene.keeper.close())
    assert scene.keeper._queued_bytes == 0
