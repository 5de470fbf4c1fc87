"""Every test of the contract names the requirements that it checks, and runs over every transport."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.stage import Stage
from tests.contract.wires import TRANSPORTS
from tests.support.fake_vllm import FakeVllm


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): the requirements in requirements.toml that the test checks")
    config.addinivalue_line("markers", "without(transport, reason): the transport can't be tested here, and why")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" not in metafunc.fixturenames:
        return
    left_out = {marker.args[0] for marker in metafunc.definition.iter_markers("without")}
    names = [name for name in TRANSPORTS if name not in left_out]
    metafunc.parametrize("stage", names, indirect=True)


@pytest.fixture
async def stage(request: pytest.FixtureRequest, vllm: FakeVllm) -> AsyncIterator[Stage]:
    """A transport and, as soon as somebody connects, a server. The test runs once for each transport."""
    async with Stage(TRANSPORTS[request.param], vllm) as stage:
        yield stage
