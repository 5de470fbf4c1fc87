"""Timelines over the admin port: while a session lives, and when it has ended."""

from typing import Any

import pytest

from tests.support.admin import AdminApi, eventually, free_port
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm


@pytest.fixture
async def started(start_gateway: GatewayStarter) -> tuple[RunningGateway, AdminApi]:
    port = free_port()
    return await start_gateway(admin={"port": port}), AdminApi(port)


@pytest.fixture
def admin(started: tuple[RunningGateway, AdminApi]) -> AdminApi:
    return started[1]


@pytest.fixture
async def client(started: tuple[RunningGateway, AdminApi], vllm: FakeVllm) -> Client:
    """A session with a turn under way."""
    client = await started[0].open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    return client


async def session_id(admin: AdminApi) -> str:
    (one,) = (await admin.get("sessions"))["sessions"]
    return str(one["id"])


def kinds(timeline: Any) -> list[str]:
    return [mark["kind"] for mark in timeline["marks"]]


async def test_a_live_session_has_a_timeline_from_its_connection_to_its_first_text(
    admin: AdminApi, client: Client
) -> None:
    timeline = await admin.get(f"sessions/{await session_id(admin)}/timeline")
    assert kinds(timeline)[:4] == ["connected", "authenticated", "began", "leg-asked"]
    assert kinds(timeline)[-1] == "turn-first-text"
    assert (timeline["ended"], timeline["outcome"], timeline["session"]["transport"]) == (False, "", "websocket")
    assert timeline["totals"]["turns"] == 1
    times = [mark["at_s"] for mark in timeline["marks"]]
    assert times == sorted(times)


async def test_the_timeline_of_a_session_outlives_it(admin: AdminApi, client: Client) -> None:
    name = await session_id(admin)
    await client.close()

    async def has_ended() -> bool:
        return bool((await admin.get("ended"))["sessions"])

    await eventually("the session is among those that ended", has_ended)
    (ended,) = (await admin.get("ended"))["sessions"]
    timeline = await admin.get(f"sessions/{name}/timeline")
    assert (ended["id"], ended["outcome"], ended["turns"]) == (name, "client-closed", 1)
    assert (timeline["ended"], timeline["outcome"], kinds(timeline)[-1]) == (True, "client-closed", "ended")


async def test_a_session_that_never_was_has_none(admin: AdminApi) -> None:
    answer = await admin.ask("GET", "sessions/sess-none/timeline")
    assert (answer.status, answer.json["error"]["code"]) == (404, "session-not-found")


async def test_a_session_at_work_has_samples_and_places(admin: AdminApi, client: Client) -> None:
    name = await session_id(admin)

    async def is_sampled() -> bool:
        timeline = await admin.get(f"sessions/{name}/timeline")
        places = timeline["places"]
        return bool(timeline["curve"]) and None not in (places["client_link_s"], places["upstream_link_s"])

    await eventually("round trips are known", is_sampled)
    places = (await admin.get(f"sessions/{name}/timeline"))["places"]
    assert places["slowest"] in ("", "client-link", "gateway", "upstream-link", "model")
