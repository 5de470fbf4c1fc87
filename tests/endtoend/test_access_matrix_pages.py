"""Every route, asked by a page: a preflight is answered where pages may ask, and a page of elsewhere gets nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.endtoend.test_access_matrix import NO_SUCH_FILE, PAGE, TABLE, expected
from tests.support.access_stage import CUT, Key, Stage, staged
from tests.support.credentials import Credential
from tests.support.fake_vllm import FakeVllm

ELSEWHERE = "https://elsewhere.example"
NOBODY = Credential("none", "none")


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(vllm.url, tmp_path) as stage:
        yield stage


def of_listeners(*listeners: str) -> set[Key]:
    found = {key for key in TABLE if key.listener in listeners}
    assert found
    return found


async def test_a_preflight_is_answered_nowhere_else(stage: Stage) -> None:
    answered = {key.path for key in of_listeners("preflight")}
    paths = {(key.listener, key.path) for key in of_listeners("http", "admin")}
    wrong = []
    for listener, path in sorted(paths):
        for is_page in (True, False):
            asks = {"Origin": f"https://127.0.0.1:{stage.gateway.port}", "Access-Control-Request-Method": "POST"}
            answer = await stage.ask(Key(listener, "OPTIONS", path), NOBODY, **(asks if is_page else {}))
            is_answered = listener == "http" and is_page and path in answered
            if answer.status != (204 if is_answered else 405):
                wrong.append((listener, path, is_page, answer))
    assert wrong == [], "\n".join(map(str, wrong))


async def test_a_page_of_elsewhere_gets_nothing_whatever_it_brings(stage: Stage) -> None:
    wrong = []
    for credential in stage.issuer.credentials:
        for key in of_listeners("http", "websocket", "preflight"):
            answer = await stage.ask(key, credential, Origin=ELSEWHERE)
            is_for_anybody = TABLE[key] is PAGE or TABLE[key] is NO_SUCH_FILE
            code = expected(key, credential)
            code = code if is_for_anybody or code == CUT else "origin-forbidden"
            if not answer.is_what(code):
                wrong.append(f"{key.method} {key.path}, {credential}: {answer.code}, not {code}")
    assert wrong == [], "\n".join(map(str, wrong))
