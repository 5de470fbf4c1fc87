"""Tenants don't see each other: of another's session everything is as if it did not exist."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.access_stage import Answer, Key, Stage, exchanged, staged
from tests.support.client import Client
from tests.support.credentials import Asked, Credential
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.raw import request

NOBODYS = "sess-" + "0" * 32
ON_A_SESSION = [
    Key("admin", "GET", "/admin/v1/sessions/{id}"),
    Key("admin", "POST", "/admin/v1/sessions/{id}/end"),
    Key("admin", "POST", "/admin/v1/sessions/{id}/move"),
]
ON_A_RECORD = [
    Key("admin", "GET", "/admin/v1/sessions/{id}/transcript"),
    Key("admin", "GET", "/admin/v1/sessions/{id}/audio"),
    Key("admin", "DELETE", "/admin/v1/sessions/{id}/retained"),
]
LISTS = [Key("admin", "GET", "/admin/v1/sessions"), Key("admin", "GET", "/admin/v1/retained")]


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(vllm.url, tmp_path) as stage:
        yield stage


def others(stage: Stage) -> list[Credential]:
    """Who may do everything in another tenant, or nothing in this one."""
    return [
        one
        for one in stage.issuer.credentials
        if one.state in ("stranger", "powerless") and one.kind in ("api-key", "jwt", "certificate")
    ]


async def test_anothers_session_is_told_from_none_by_nothing(stage: Stage) -> None:
    for who in others(stage):
        for keys, name in ((ON_A_SESSION, "session_id"), (ON_A_RECORD, "record_id")):
            theirs = getattr(stage, name)
            for key in keys:
                found = await stage.ask(key, who)
                setattr(stage, name, NOBODYS)
                missing = await stage.ask(key, who)
                setattr(stage, name, theirs)
                assert found == missing, (key, who)
                assert found.status == 404


async def test_no_list_shows_it(stage: Stage) -> None:
    seen = []
    for who in stage.issuer.credentials:
        if who.kind != "api-key" or who.state not in ("stranger", "powerless", "right"):
            continue
        for key in LISTS:
            text = await whole(stage, key, who)
            shown = stage.session_id.encode() in text or stage.record_id.encode() in text
            seen.append((who.state, shown))
            assert shown or b'"total":0' in text or b'"retained":[]' in text
    assert set(seen) == {("stranger", False), ("powerless", False), ("right", True)}


async def test_what_is_asked_for_by_its_beginning_is_not_found_either(stage: Stage) -> None:
    (stranger,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "stranger")]
    there = await whole(stage, Key("admin", "GET", f"/admin/v1/sessions?prefix={stage.session_id[:12]}"), stranger)
    missing = await whole(stage, Key("admin", "GET", "/admin/v1/sessions?prefix=sess-00000"), stranger)
    assert there == missing


async def test_nothing_of_a_session_is_left_to_a_stranger_who_has_its_token(stage: Stage) -> None:
    token = await resumable(stage)
    (stranger,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "stranger")]
    (right,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "right")]
    assert await claimed(stage, stranger, token) == "wrong-principal"
    assert await claimed(stage, right, token) == "session.resumed"


async def test_a_tenants_records_are_shredded_by_nobody_of_another(stage: Stage) -> None:
    (stranger,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "stranger")]
    one = await stage.ask(Key("admin", "DELETE", "/admin/v1/retained"), stranger)
    other = Key("admin", "DELETE", "/admin/v1/retained?tenant=of-nobody")
    assert one.body == (await refused(stage, other, stranger)).body
    (right,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "right")]
    assert stage.record_id.encode() in await whole(stage, LISTS[1], right)


# ---- the means


async def whole(stage: Stage, key: Key, who: Credential) -> bytes:
    """The whole answer of the admin API, with its head."""
    shown = who.show(Asked(key.method, key.path, ""))
    headers = {"Host": f"127.0.0.1:{stage.admin_port}", "Connection": "close", **shown.headers}
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.admin_port, ssl=stage.context(who))
    writer.write(request(shown.target, headers, key.method))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 200"), head
    return body


async def refused(stage: Stage, key: Key, who: Credential) -> Answer:
    """The answer to a target as it is."""
    shown = who.show(Asked(key.method, key.path, ""))
    headers = {"Host": f"127.0.0.1:{stage.admin_port}", **shown.headers}
    return await exchanged(stage.admin_port, stage.context(who), request(shown.target, headers, key.method))


async def connected(stage: Stage, headers: dict[str, str], path: str = "/v1/realtime") -> Client:
    url = f"wss://127.0.0.1:{stage.gateway.port}{path}"
    client = await Client.connect(url, ssl=stage.issuer.authority.trusting(), additional_headers=headers)
    stage.clients.append(client)
    return client


async def resumable(stage: Stage) -> str:
    """The token of a session of the first tenant, which has lost its client."""
    client = await connected(stage, {"Authorization": f"Bearer {stage.issuer.keys['right']}"})
    await client.send("session.update", model=MODEL, parley={"resume": True})
    updated = await client.receive()
    client.abort()
    return str(updated["resume"]["token"])


async def claimed(stage: Stage, who: Credential, token: str) -> str:
    """What is said first to somebody who shows this token: an error's code, or an event's type."""
    client = await connected(stage, dict(who.show(Asked("GET", "", "")).headers), "/v1/realtime?resume=1")
    await client.send("session.resume", token=token, seq=0)
    event = await client.receive()
    return str(event["parley"]["code"] if event["type"] == "error" else event["type"])
