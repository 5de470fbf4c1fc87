"""With a key the engine answers nobody else: other users of the machine are none of its clients."""

from collections.abc import AsyncGenerator, Mapping

import aiohttp
import pytest

from parley.engine.options import EngineOptions

from .talk import serving

KEY = "zzkanarienvogelschluessel"
ROUTES = ("/version", "/metrics", "/v1/models", "/v1/realtime", "/nothing")


@pytest.fixture
async def address() -> AsyncGenerator[str]:
    async with serving(EngineOptions(port=0, engine="scripted", api_key=KEY)) as running:
        yield running


async def ask(address: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(address + path, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "credentials-missing"),
        ("Bearer wrong", "invalid-token"),
        (f"Bearer {KEY}x", "invalid-token"),
        (KEY, "invalid-token"),
    ],
)
async def test_who_does_not_bring_the_key_gets_nothing(address: str, path: str, authorization: str, code: str) -> None:
    status, body = await ask(address, path, {"Authorization": authorization} if authorization else {})
    assert status == 401
    assert f'"{code}"' in body
    assert KEY not in body


@pytest.mark.parametrize(("path", "status"), [("/version", 200), ("/metrics", 200), ("/v1/models", 200)])
async def test_who_brings_it_does(address: str, path: str, status: int) -> None:
    assert (await ask(address, path, {"Authorization": f"Bearer {KEY}"}))[0] == status


async def test_a_realtime_stream_is_opened_with_it(address: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/v1/realtime", headers=headers) as socket:
        assert (await socket.receive_json())["type"] == "session.created"


async def test_whether_it_is_there_may_be_asked_by_anybody(address: str) -> None:
    assert (await ask(address, "/health", {}))[0] == 200


def test_options_do_not_show_the_key() -> None:
    assert KEY not in repr(EngineOptions(api_key=KEY))
