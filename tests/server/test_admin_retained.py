"""What is kept, over the admin API: who may see, read and shred it, in which forms, and what is noted of that."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from parley.access.action import Action
from parley.access.policy import Policy, Rule
from parley.core.content import Text
from parley.store.retention.archive import Archive
from parley.store.retention.entry import Closed, Entry, KeptAudio, KeptTurn, encode_entry
from parley.store.retention.envelope import FileEnvelope
from tests.store.retention.records import HEADER, key_file
from tests.support.admin import AdminApi, free_port
from tests.support.audit import AuditNotes
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm, wav

CANARY = "zzkanarienvogel"
SOUND, LATER = pcm(5.0, seed=1), pcm(0.5, seed=2)
TURNS = [KeptTurn(item, 16_000 * item, 16_000 * (item + 1), Text.of(f" {CANARY} {item}")) for item in (1, 2)]


@dataclass
class Scene:
    """A gateway with an archive, and its admin API."""

    gateway: RunningGateway
    admin: AdminApi
    archive: Archive
    audit: AuditNotes

    def allow(self, *actions: Action, tenants: Sequence[str] = ("*",)) -> None:
        """What the operator may do, and nothing else."""
        assert self.gateway._gateway is not None
        rule = Rule(name="test", who=("role:operator",), actions=actions, tenants=tuple(tenants))
        self.gateway._gateway._trust.admin_gate._policy = Policy([rule])

    async def keep(
        self,
        session_id: str,
        *entries: Entry,
        tenant: str = "acme",
        expires_s: float = 0.0,
        reason: str = "client-ended",
    ) -> None:
        header = replace(HEADER, session_id=session_id, tenant=tenant, expires_s=expires_s)
        part = await self.archive.begin(header)
        await self.archive.append(part, [encode_entry(entry) for entry in (*entries, Closed(reason))])

    async def code(self, method: str, path: str) -> tuple[int, str]:
        answer = await self.admin.ask(method, path)
        return answer.status, answer.code


@pytest.fixture
async def scene(start_gateway: GatewayStarter, tmp_path: Path) -> AsyncIterator[Scene]:
    key, port = key_file(tmp_path), free_port()
    retention = {"directory": str(tmp_path / "kept"), "key_file": str(key)}
    gateway = await start_gateway(admin={"port": port}, retention=retention)
    audit = AuditNotes()
    assert gateway._gateway is not None
    gateway._gateway._trust.admin_gate.audit = audit
    with contextlib.closing(Archive(tmp_path / "kept", FileEnvelope(key))) as archive:
        scene = Scene(gateway, AdminApi(port), archive, audit)
        scene.allow("observe", "read", "end")
        yield scene


# ---- reading


async def test_a_transcript_is_read_as_json(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    answer = await scene.admin.get("sessions/one/transcript")
    assert [turn["text"] for turn in answer["turns"]] == [f" {CANARY} 1", f" {CANARY} 2"]
    assert (answer["turns"][0]["begin_ms"], answer["turns"][0]["end_ms"]) == (1_000, 2_000)
    assert (answer["complete"], answer["cut_off"], answer["next"]) == (True, False, 0)


async def test_a_transcript_goes_on_behind_a_turn(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    answer = await scene.admin.get("sessions/one/transcript?after=1")
    assert [turn["item"] for turn in answer["turns"]] == [2]


async def test_a_long_transcript_comes_in_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.server.retained._PAGE_BYTES", 1)
    await scene.keep("one", *TURNS)
    first = await scene.admin.get("sessions/one/transcript")
    assert ([turn["item"] for turn in first["turns"]], first["next"]) == ([1], 1)
    second = await scene.admin.get(f"sessions/one/transcript?after={first['next']}")
    assert ([turn["item"] for turn in second["turns"]], second["next"]) == ([2], 0)


@pytest.mark.parametrize(
    ("form", "kind", "beginning"),
    [("text", "text/plain", f"{CANARY} 1\n{CANARY} 2\n"), ("vtt", "text/vtt", "WEBVTT\n\n00:00:01")],
)
async def test_a_transcript_is_read_in_other_forms(scene: Scene, form: str, kind: str, beginning: str) -> None:
    await scene.keep("one", *TURNS)
    answer = await scene.admin.ask("GET", f"sessions/one/transcript?form={form}")
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.body.decode().startswith(beginning)


async def test_audio_is_heard_with_silence_where_some_is_missing(scene: Scene) -> None:
    begin = len(SOUND) // 2 + 100_000
    await scene.keep("one", KeptAudio(0, SOUND), *TURNS, KeptAudio(begin, LATER))
    answer = await scene.admin.ask("GET", "sessions/one/audio")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/wav")
    assert answer.body == wav(SOUND + bytes(200_000) + LATER)


async def test_without_audio_there_is_nothing_to_hear(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    assert await scene.code("GET", "sessions/one/audio") == (404, "nothing-retained")


async def test_audio_that_is_longer_than_a_file_can_be_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.server.retained._AUDIO_MAX_BYTES", 10)
    await scene.keep("one", KeptAudio(0, SOUND))
    assert await scene.code("GET", "sessions/one/audio") == (503, "retention-unavailable")


async def test_a_record_that_was_changed_is_not_read(scene: Scene, tmp_path: Path) -> None:
    await scene.keep("one", KeptAudio(0, SOUND))
    (path,) = (tmp_path / "kept").glob("*.parley")
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    for what in ("transcript", "audio"):
        assert await scene.code("GET", f"sessions/one/{what}") == (503, "retention-unavailable")


# ---- who may


async def test_reading_takes_the_permission_to_read(scene: Scene) -> None:
    await scene.keep("one", KeptAudio(0, SOUND), *TURNS)
    scene.allow("observe", "end")
    for what in ("transcript", "audio"):
        answer = await scene.admin.ask("GET", f"sessions/one/{what}")
        assert (answer.status, answer.code) == (403, "forbidden")
        assert CANARY not in answer.body.decode()


async def test_shredding_takes_the_permission_to_end(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    scene.allow("observe", "read")
    assert await scene.code("DELETE", "sessions/one/retained") == (403, "forbidden")
    assert await scene.code("DELETE", "retained?tenant=acme") == (403, "forbidden")
    assert await scene.code("DELETE", "retained?expired=true") == (403, "forbidden")
    assert len((await scene.admin.get("retained"))["retained"]) == 1


async def test_what_may_not_be_known_of_is_not_there(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    scene.allow("observe", "read", "end", tenants=["other"])
    for method, what in (("GET", "transcript"), ("GET", "audio"), ("DELETE", "retained")):
        assert await scene.code(method, f"sessions/one/{what}") == (404, "nothing-retained")
        assert await scene.code(method, f"sessions/none/{what}") == (404, "nothing-retained")
    assert (await scene.admin.get("retained"))["retained"] == []


async def test_reading_and_shredding_are_in_the_audit_log(scene: Scene) -> None:
    await scene.keep("one", KeptAudio(0, SOUND), *TURNS)
    await scene.admin.ask("GET", "sessions/one/transcript")
    await scene.admin.ask("GET", "sessions/one/audio")
    await scene.admin.ask("DELETE", "sessions/one/retained")
    await scene.admin.ask("GET", "sessions/one/transcript")
    assert [(note.action, note.session_id, note.tenant, note.outcome) for note in scene.audit.notes] == [
        ("read", "one", "acme", "ok"),
        ("read", "one", "acme", "ok"),
        ("end", "one", "acme", "ok"),
        ("read", "one", "", "nothing-retained"),
    ]


# ---- lists, and letting go


async def test_a_list_has_no_content(scene: Scene) -> None:
    await scene.keep("one", *TURNS)
    await scene.keep("two", *TURNS, tenant="ab" * 32)
    answer = await scene.admin.ask("GET", "retained")
    assert CANARY not in answer.body.decode()
    views: dict[str, Any] = {one["id"]: one for one in answer.json["retained"]}
    assert (views["one"]["tenant"], views["one"]["retention"], views["one"]["records"]) == ("acme", "debug-audio", 1)
    assert views["two"]["tenant"].startswith("~")
    assert (await scene.admin.get("retained?limit=1"))["more"]


async def test_a_session_is_shredded(scene: Scene, tmp_path: Path) -> None:
    await scene.keep("one", *TURNS)
    assert (await scene.admin.ask("DELETE", "sessions/one/retained")).json == {"records": 1}
    assert list((tmp_path / "kept").iterdir()) == []


async def test_a_tenant_is_shredded(scene: Scene) -> None:
    for session_id, tenant in (("one", "acme"), ("two", "acme"), ("three", "other")):
        await scene.keep(session_id, *TURNS, tenant=tenant)
    assert (await scene.admin.ask("DELETE", "retained?tenant=acme")).json == {"records": 2}
    assert [one["id"] for one in (await scene.admin.get("retained"))["retained"]] == ["three"]


async def test_what_has_expired_is_shredded_at_once(scene: Scene) -> None:
    await scene.keep("one", *TURNS, expires_s=1.0)
    assert (await scene.admin.ask("DELETE", "retained?expired=true")).json == {"records": 1}


@pytest.mark.parametrize("query", ["", "?tenant=acme&expired=true"])
async def test_what_to_shred_has_to_be_said(scene: Scene, query: str) -> None:
    assert await scene.code("DELETE", f"retained{query}") == (400, "bad-request")


# ---- where nothing is kept


async def test_a_node_that_keeps_nothing_says_so(start_gateway: GatewayStarter) -> None:
    port = free_port()
    await start_gateway(admin={"port": port})
    admin = AdminApi(port)
    assert await admin.get("retained") == {"retained": [], "more": False}
    assert (await admin.ask("DELETE", "retained?tenant=acme")).json == {"records": 0}
    answer = await admin.ask("GET", "sessions/one/transcript")
    assert (answer.status, answer.code) == (404, "nothing-retained")
