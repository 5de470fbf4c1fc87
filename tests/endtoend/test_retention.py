"""What real sessions leave behind, by tenant and by their own choice, and what is left of it when it is let go."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from parley.access.audit import NoAudit
from parley.access.principal import principal_of
from parley.client import TurnDone, connect
from parley.core.errors import ParleyError
from parley.core.retention import Retention
from parley.server.keeper import Keeper
from parley.server.retained import Retained
from parley.server.retained_text import as_text, as_vtt
from parley.server.retained_views import TranscriptView
from parley.server.settings.tenant import TenantSettings
from parley.store.retention.archive import Archive
from parley.store.retention.envelope import FileEnvelope
from tests.store.retention.records import TURN, written
from tests.support.admin import eventually
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import post
from tests.support.sound import pcm, wav

CANARY = "zzkanarienvogel"
SOUND = base64.b64decode("zzkanarienvogelx" * 8_000)
"""Three seconds whose base64 is the canary over and over."""
LATER = pcm(1.0, seed=3)


def tenant(name: str, retention: str, most: str) -> TenantSettings:
    return TenantSettings(
        name=name,
        principals=(principal_of(f"Bearer {name}"),),
        retention=retention,  # type: ignore[arg-type]
        retention_max=most,  # type: ignore[arg-type]
    )


TENANTS = (
    tenant("nothing", "none", "none"),
    tenant("asks", "none", "debug-audio"),
    tenant("text", "transcript", "transcript"),
    tenant("audio", "debug-audio", "debug-audio"),
)


class Stage:
    """A gateway that keeps things, and somebody with its key file who looks at what it keeps."""

    def __init__(self, gateway: RunningGateway, folder: Path, key: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.archive = Archive(folder, FileEnvelope(key))
        self.retained = Retained(Keeper(self.archive, {}, NoAudit()))

    async def client(self, name: str, **parley: Any) -> Client:
        """A client of a tenant that has named the model."""
        client = await self.gateway.connect(additional_headers={"Authorization": f"Bearer {name}"})
        await client.send("session.update", model=MODEL, **({"parley": parley} if parley else {}))
        return client

    async def over(self, client: Client, *turns: bytes, ends: bool = False) -> str:
        """The session with these turns, from here to its end, which the record has."""
        for audio in turns:
            await client.send_turn(audio)
            await client.until("transcription.done")
        if ends:
            await client.send("session.end")
            await client.until("session.ended")
        await client.close()
        await self.until(lambda: self.is_closed(client.session_id))
        return client.session_id

    def is_closed(self, session_id: str) -> bool:
        gateway = self.gateway._gateway
        assert gateway is not None
        runners = gateway._live.runners
        keeper = gateway._keeper
        assert keeper is not None
        is_live = any(runner.name.session_id == session_id for runner in runners)
        return not is_live and session_id not in keeper._recorders

    async def until(self, is_so: Callable[[], bool]) -> None:
        await eventually("it is written", lambda: asyncio.to_thread(is_so))

    def names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    async def refusal(self, session_id: str) -> str:
        with pytest.raises(ParleyError) as caught:
            await self.retained.transcript(session_id)
        return caught.value.code

    async def audio(self, session_id: str) -> bytes:
        audio = await self.retained.audio(session_id)
        data = audio.header + b"".join([chunk async for chunk in audio.chunks()])
        assert len(data) == audio.size_bytes
        return data


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    return path


@pytest.fixture
async def stage(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, key: Path) -> AsyncIterator[Stage]:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}" if step == 0 else ""
    folder = tmp_path / "kept"
    retention = {"directory": str(folder), "key_file": str(key)}
    gateway = await start_gateway(retention=retention, tenants=TENANTS)
    stage = Stage(gateway, folder, key)
    yield stage
    stage.archive.close()


def said(view: TranscriptView) -> list[tuple[int, int, int, str]]:
    return [(turn.item, turn.begin_ms, turn.end_ms, turn.text) for turn in view.turns]


# ---- classes


async def test_nothing_is_kept_unless_somebody_says_so(stage: Stage) -> None:
    session_id = await stage.over(await stage.client("nothing"), SOUND)
    assert await stage.refusal(session_id) == "nothing-retained"
    assert stage.files() == {}


async def test_a_tenants_transcripts_are_kept_with_their_times(stage: Stage) -> None:
    session_id = await stage.over(await stage.client("text"), SOUND, LATER)
    view = await stage.retained.transcript(session_id)
    assert said(view) == [(1, 0, 3_000, f" {CANARY}0"), (2, 3_000, 4_000, f" {CANARY}1")]
    assert (view.complete, view.cut_off, view.next) == (True, False, 0)


async def test_a_session_may_ask_for_its_transcript_and_is_told_that_it_is_kept(stage: Stage) -> None:
    client = await stage.client("asks", resume=True, retention="transcript")
    updated = (await client.until("session.updated"))[-1]
    assert updated["parley"] == {"retention": "transcript"}
    session_id = await stage.over(client, SOUND, ends=True)
    assert len((await stage.retained.transcript(session_id)).turns) == 1


async def test_audio_is_kept_with_consent(stage: Stage) -> None:
    client = await stage.client("asks", retention="debug-audio", consent=True)
    session_id = await stage.over(client, SOUND, LATER)
    assert await stage.audio(session_id) == wav(SOUND + LATER)
    assert len((await stage.retained.transcript(session_id)).turns) == 2


async def test_of_a_tenant_with_audio_the_transcript_is_kept_where_nobody_says_that_there_is_consent(
    stage: Stage,
) -> None:
    session_id = await stage.over(await stage.client("audio"), SOUND)
    assert len((await stage.retained.transcript(session_id)).turns) == 1
    with pytest.raises(ParleyError, match="nothing-retained"):
        await stage.retained.audio(session_id)


async def test_consent_alone_has_the_audio_kept_where_the_tenant_wants_it(stage: Stage) -> None:
    session_id = await stage.over(await stage.client("audio", consent=True), SOUND)
    assert await stage.audio(session_id) == wav(SOUND)


@pytest.mark.parametrize(
    ("name", "parley", "code"),
    [
        ("nothing", {"retention": "transcript"}, "forbidden"),
        ("text", {"retention": "debug-audio", "consent": True}, "forbidden"),
        ("asks", {"retention": "debug-audio"}, "consent-missing"),
        ("asks", {"retention": "everything"}, "invalid-event"),
    ],
)
async def test_more_than_may_be_is_refused(stage: Stage, name: str, parley: dict[str, Any], code: str) -> None:
    client = await stage.client(name, **parley)
    assert await client.error() == code


async def test_without_a_folder_nothing_can_be_asked_for(gateway: RunningGateway) -> None:
    client = await gateway.connect()
    await client.send("session.update", model=MODEL, parley={"retention": "transcript"})
    assert await client.error() == "retention-unavailable"


async def test_a_session_that_wants_nothing_kept_after_all_has_what_was_kept_shredded(stage: Stage) -> None:
    client = await stage.client("text")
    await client.send_turn(SOUND)
    await client.until("transcription.done")
    await stage.until(lambda: len(stage.names()) == 2)
    await client.send("session.update", model=MODEL, parley={"retention": "none"})
    await stage.until(lambda: not stage.names())
    await stage.over(client, LATER)
    assert stage.files() == {}


async def test_a_recordings_transcript_is_kept_as_well(stage: Stage) -> None:
    await post(stage.gateway, "/invocations", SOUND, Content_Type="audio/pcm", Authorization="Bearer text")
    await stage.until(lambda: len(stage.names()) == 2)


async def test_the_sdk_asks_for_what_is_to_be_kept(stage: Stage) -> None:
    url = stage.gateway.ws_url
    async with connect(url, model=MODEL, api_key="asks", retention=Retention.DEBUG_AUDIO, consent=True) as session:
        session_id = session.session_id
        await session.start_turn()
        await session.send_audio(SOUND)
        await session.end_turn()
        async for event in session:
            if isinstance(event, TurnDone):
                break
    await stage.until(lambda: stage.is_closed(session_id))
    assert await stage.audio(session_id) == wav(SOUND)


# ---- forms


async def test_a_transcript_is_to_be_had_as_text_and_as_captions(stage: Stage) -> None:
    view = await stage.retained.transcript(await stage.over(await stage.client("text"), SOUND, LATER))
    assert as_text(view) == f"{CANARY}0\n{CANARY}1\n"
    captions = as_vtt(view)
    assert captions.startswith("WEBVTT\n")
    assert captions.count(" --> ") == 2


async def test_a_list_says_of_whom_something_is_kept_and_nothing_of_what(stage: Stage) -> None:
    first = await stage.over(await stage.client("text"), SOUND)
    await stage.over(await stage.client("audio"), SOUND)
    found = await stage.retained.list(lambda tenant: tenant == "text")
    (one,) = found.retained
    assert (one.id, one.retention, one.tenant, one.records) == (first, "transcript", "text", 1)
    assert one.expires_s == pytest.approx(one.began_s + 86_400.0, abs=60.0)
    assert CANARY not in repr(found)
    owner = await stage.retained.find(first)
    assert (owner.tenant, owner.principal) == ("text", principal_of("Bearer text"))


async def test_a_session_that_lives_can_be_read_and_is_not_complete(stage: Stage) -> None:
    client = await stage.client("text")
    await client.send_turn(SOUND)
    await client.until("transcription.done")
    await stage.until(lambda: len(stage.names()) == 2)
    view = await stage.retained.transcript(client.session_id)
    assert (len(view.turns), view.complete) == (1, False)


# ---- what is left


async def test_what_was_said_is_in_no_file(stage: Stage) -> None:
    await stage.over(await stage.client("asks", retention="debug-audio", consent=True), SOUND)
    plain = [CANARY.encode(), SOUND[:64], base64.b64encode(SOUND[:48])]
    for name, data in stage.files().items():
        assert not any(each in name.encode() + data for each in plain)


async def test_a_purge_leaves_no_file(stage: Stage) -> None:
    session_id = await stage.over(await stage.client("text"), SOUND)
    assert (await stage.retained.purge(session_id)).records == 1
    assert stage.files() == {}
    assert await stage.refusal(session_id) == "nothing-retained"


async def test_a_tenants_records_are_purged_together_and_no_others(stage: Stage) -> None:
    for name in ("text", "text", "audio"):
        await stage.over(await stage.client(name), SOUND)
    assert (await stage.retained.purge_tenant("text")).records == 2
    (left,) = (await stage.retained.list(lambda _: True)).retained
    assert left.tenant == "audio"


async def test_of_a_purged_session_that_lives_nothing_more_is_kept(stage: Stage) -> None:
    gateway = stage.gateway._gateway
    assert gateway is not None
    assert gateway._keeper is not None
    client = await stage.client("text")
    await client.send_turn(SOUND)
    await client.until("transcription.done")
    await stage.until(lambda: len(stage.names()) == 2)
    assert (await Retained(gateway._keeper).purge(client.session_id)).records == 1
    await client.send_turn(LATER)
    await client.until("transcription.done")
    await stage.over(client)
    assert stage.files() == {}


async def test_what_is_past_its_time_when_a_node_starts_is_shredded(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, key: Path
) -> None:
    folder = tmp_path / "kept"
    archive = Archive(folder, FileEnvelope(key), clock=lambda: 1_000.0)
    with contextlib.closing(archive):
        await written(archive, TURN)
    for path in folder.iterdir():
        os.utime(path, (1_000.0, 1_000.0))
    gateway = await start_gateway(retention={"directory": str(folder), "key_file": str(key)})

    await eventually("it is swept", lambda: asyncio.to_thread(lambda: not any(folder.iterdir())))
    assert gateway.port


# ---- another node


async def test_a_session_that_moves_is_kept_on_at_the_other_node(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, key: Path
) -> None:
    folder = tmp_path / "kept"
    shared: dict[str, Any] = {
        "retention": {"directory": str(folder), "key_file": str(key)},
        "store": {"kind": "directory", "directory": str(tmp_path / "states")},
        "tenants": TENANTS,
        "drain": {"timeout_s": 600.0},
    }
    old, new = await start_gateway(**shared), await start_gateway(**shared)
    urls = [old.ws_url, new.ws_url]
    stage = Stage(new, folder, key)

    async def turn(session: Any, audio: bytes) -> None:
        await session.start_turn()
        await session.send_audio(audio)
        await session.end_turn()
        async for event in session:
            if isinstance(event, TurnDone):
                return

    async with connect(urls, model=MODEL, api_key="asks", retention=Retention.DEBUG_AUDIO, consent=True) as session:
        session_id = session.session_id
        await turn(session, SOUND)
        old.begin_stop()
        await old.until_stopped()
        await turn(session, LATER)
    await stage.until(lambda: stage.is_closed(session_id))
    view = await stage.retained.transcript(session_id)
    assert [(one.item, one.begin_ms, one.end_ms) for one in view.turns] == [(1, 0, 3_000), (2, 3_000, 4_000)]
    assert view.complete
    assert await stage.audio(session_id) == wav(SOUND + LATER)
    assert [kept.header.part for kept in await stage.archive.find(session_id)] == [1, 2]
    stage.archive.close()
