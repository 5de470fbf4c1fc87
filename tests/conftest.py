"""What every test is held to: it runs on the event loop of production, and leaves nothing behind."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.leaks import (
    child_processes,
    describe_descriptors,
    describe_tasks,
    left_open,
    open_descriptors,
    stray_tasks,
)
from tests.support.logs import LogWatch

# Property tests are not timed: the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_DESCRIPTORS_BEFORE = pytest.StashKey[Mapping[int, str]]()
_CHILDREN_BEFORE = pytest.StashKey[Mapping[int, str]]()

_LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production; a test marked with `loop_factories` names others."""
    marker = item.get_closest_marker("asyncio")
    return _LOOPS if marker is not None and marker.kwargs.get("loop_factories") else {"uvloop": _LOOPS["uvloop"]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(item.obj)):
            # First of all, so that what every other fixture does has ended when it looks.
            item.fixturenames.insert(0, "_no_stray_task")


@pytest.fixture
async def _no_stray_task() -> AsyncIterator[None]:
    yield
    leaked = await stray_tasks()
    if leaked:
        pytest.fail("\n".join(["The test left tasks running:", *describe_tasks(leaked)]), pytrace=False)


@pytest.fixture(autouse=True)
def _before(request: pytest.FixtureRequest) -> None:
    """What is there before the test's own fixtures, but after those of a wider scope."""
    request.node.stash[_DESCRIPTORS_BEFORE] = open_descriptors()
    request.node.stash[_CHILDREN_BEFORE] = child_processes()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    yield
    # Only now have all fixtures ended and the event loop is closed.
    if _DESCRIPTORS_BEFORE not in item.stash:
        return
    descriptors = left_open(item.stash[_DESCRIPTORS_BEFORE])
    children = dict(child_processes().items() - item.stash[_CHILDREN_BEFORE].items())
    lines = describe_descriptors(descriptors) + [f"process {pid}: {command}" for pid, command in children.items()]
    if lines:
        pytest.fail("\n".join(["The test left open:", *lines]), pytrace=False)


@pytest.fixture
def log() -> Iterator[LogWatch]:
    """Every log record of the test. One of level ERROR, or with a traceback, fails it unless it was expected."""
    with LogWatch() as watch:
        yield watch
    watch.check()


@pytest.fixture
async def vllm(log: LogWatch) -> AsyncIterator[FakeVllm]:
    """A double of vLLM. A test in which it was led into one of vLLM's traps fails."""
    async with FakeVllm() as server:
        yield server
    assert server.traps == []


@pytest.fixture
async def start_gateway(vllm: FakeVllm) -> AsyncIterator[GatewayStarter]:
    """Starts gateways in front of the double, with settings of the test's own."""
    async with GatewayStarter(vllm.url) as starter:
        yield starter


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> RunningGateway:
    """A gateway in front of the double with the test suite's usual settings."""
    return await start_gateway()
