"""One vLLM and one gateway for the whole run, and the rule that a plain `pytest` leaves this folder out."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .process import Gateway, Vllm
from .tap import Tap, open_tap

_WANTED = os.environ.get("REALVLLM") == "1"
collect_ignore_glob = [] if _WANTED else ["test_*.py"]
_TEST_TIMEOUT_S = 1200
"""Over the bounds of the waits within a test, so that these get to say what did not happen."""


def pytest_configure() -> None:
    if _WANTED:
        # A run that is ended from outside still ends its servers.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.realvllm)
            item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))


@pytest.fixture(scope="session")
def real_vllm() -> Iterator[Vllm]:
    with Vllm("vllm") as server:
        server.until_ready()
        yield server


@pytest.fixture(scope="session")
def vllm_url(real_vllm: Vllm) -> str:
    return real_vllm.url


@pytest.fixture(scope="session")
def gateway_url(real_vllm: Vllm) -> Iterator[str]:
    with Gateway.in_front_of("gateway", real_vllm.url) as server:
        server.until_ready()
        yield server.url


@pytest.fixture(params=["direct", "gateway"])
def url(request: pytest.FixtureRequest, vllm_url: str, gateway_url: str) -> str:
    """Where behaviour is to be the same, a test asks both."""
    return vllm_url if request.param == "direct" else gateway_url


@pytest.fixture
async def tap(real_vllm: Vllm) -> AsyncIterator[Tap]:
    async with open_tap(real_vllm) as opened:
        yield opened
