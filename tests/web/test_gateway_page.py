from pathlib import Path

import pytest
from aiohttp import ClientSession

from parley.cli.serve import greeting
from parley.server.ready import Ready
from parley.server.settings.document import PRESETS
from tests.server.test_trust import KeyFile
from tests.support.gateway import GatewayStarter


async def test_the_gateways_own_port_has_the_page(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway()
    async with ClientSession() as http, http.get(f"{gateway.http_url}/") as answer:
        assert answer.status == 200
        assert "Live captions" in await answer.text()


async def test_without_the_setting_there_is_no_page_and_nothing_of_it(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(web={"enabled": False})
    async with ClientSession() as http:
        for path in ("/", "/static/captions/main.js", "/static/shared/theme.css"):
            async with http.get(gateway.http_url + path) as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["code"] == "not-found"


async def test_a_file_that_is_not_there_is_the_gateways_ordinary_refusal(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway()
    async with ClientSession() as http, http.get(f"{gateway.http_url}/static/captions/none.js") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not-found"


async def test_the_page_is_for_anybody_also_where_everybody_else_is_asked(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.toml")
    gateway = await start_gateway(access={"keys_file": str(keys.path)})
    async with ClientSession() as http:
        async with http.get(f"{gateway.http_url}/") as answer:
            assert answer.status == 200
        async with http.get(f"{gateway.http_url}/v1/models") as answer:
            assert answer.status == 401


async def test_a_page_that_may_not_connect_still_loads_to_say_so(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway()
    headers = {"Host": "captions.test", "Origin": "http://captions.test"}
    async with ClientSession(headers=headers) as http:
        async with http.get(f"{gateway.http_url}/static/captions/main.js") as answer:
            assert answer.status == 200
            assert "Access-Control-Allow-Origin" not in answer.headers
        async with http.post(f"{gateway.http_url}/ping") as answer:
            assert (await answer.json())["error"]["code"] == "origin-forbidden"


def test_a_container_of_sagemakers_has_no_page() -> None:
    assert PRESETS["sagemaker"]["web.enabled"] is False


@pytest.mark.parametrize(
    ("ready", "url"),
    [
        (Ready("0.0.0.0", 8080, has_page=True), "http://127.0.0.1:8080/"),
        (Ready("::1", 9000, has_page=True, has_tls=True), "https://[::1]:9000/"),
    ],
)
def test_whoever_starts_a_gateway_is_told_where_the_page_is(ready: Ready, url: str) -> None:
    (line,) = [line for line in greeting(ready).splitlines() if "captions" in line.lower()]
    assert line.endswith(f" {url}")


def test_whoever_starts_one_without_a_page_is_told_of_none() -> None:
    assert "captions" not in greeting(Ready("127.0.0.1", 8080))


def test_the_files_are_part_of_the_package() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'packages = ["src/parley"]' in project, "all files below are taken into the wheel"
