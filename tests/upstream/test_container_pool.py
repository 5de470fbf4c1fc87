"""Several containers as one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from parley.core.errors import ParleyError
from parley.upstream.container.container import ContainerOptions, ContainerPool, ContainerUpstream, container_pool
from tests.support.logs import LogWatch
from tests.support.waiting import Changes, bounded
from tests.upstream.containers import REQUEST_ID, RawContainer, Sink

QUICK_S = 0.02


class Several:
    """A pool, and the containers behind it."""

    def __init__(self, containers: list[RawContainer], pool: ContainerPool, changes: Changes) -> None:
        self.containers = containers
        self.pool = pool
        self.changes = changes

    async def until_ready(self, count: int) -> None:
        await self.changes.until(f"{count} are ready", lambda: sum(one.ready for one in self.pool.containers) == count)

    async def open(self) -> Sink:
        sink = Sink()
        await bounded("a stream", self.pool.open("", "", REQUEST_ID, sink))
        return sink

    async def refusal(self) -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            await self.open()
        return caught.value

    @property
    def streams(self) -> list[int]:
        return [one.streams for one in self.pool.containers]


@pytest.fixture
async def several(log: LogWatch) -> AsyncIterator[Several]:
    async with AsyncExitStack() as stack:
        containers = [await stack.enter_async_context(RawContainer()) for _ in range(3)]
        changes = Changes()
        options = ContainerOptions(
            accept_timeout_s=10.0, handshake_timeout_s=10.0, probe_interval_s=3600.0, probe_timeout_s=10.0
        )
        pool = container_pool([one.url for one in containers], options, changes.notify)
        task = asyncio.create_task(pool.run())
        one = Several(containers, pool, changes)
        await one.until_ready(3)
        try:
            yield one
        finally:
            await bounded("the pool is closed", pool.close())
            assert pool.streams == 0
            task.cancel()
            await asyncio.wait([task])


async def test_each_stream_goes_to_the_container_with_the_fewest(several: Several) -> None:
    for _ in range(7):
        await several.open()
    assert sorted(several.streams) == [2, 2, 3]


async def test_streams_opened_together_are_spread_as_well(several: Several) -> None:
    await asyncio.gather(*(several.open() for _ in range(6)))
    assert several.streams == [2, 2, 2]


async def test_a_stream_that_ended_leaves_its_place(several: Several) -> None:
    sinks = [await several.open() for _ in range(3)]
    (await several.containers[1].stream()).close(1000)
    await sinks[1].until_ended()
    await bounded("its place is free", several.pool.containers[1].until_idle())
    await several.open()
    assert several.streams == [1, 1, 1]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_container_that_has_no_room_leaves_the_stream_to_the_next(several: Several, status: int) -> None:
    several.containers[0].refuses_with = status
    await several.open()
    assert several.streams == [0, 1, 0]
    assert several.pool.containers[0].ready


async def test_a_container_that_is_gone_leaves_the_stream_to_the_next_and_is_asked_no_more(several: Several) -> None:
    await several.containers[0].stop()
    await several.open()
    assert several.streams == [0, 1, 0]
    await several.until_ready(2)
    await several.containers[0].start(several.containers[0].port)
    await several.until_ready(3)


async def test_a_refusal_of_the_request_itself_speaks_for_all(several: Several) -> None:
    several.containers[0].refuses_with = 404
    error = await several.refusal()
    assert (error.code, error.original_status) == ("container-refused", 404)
    assert several.containers[1].streams == []


async def test_when_all_refuse_the_last_refusal_is_told(several: Several) -> None:
    for status, one in zip((500, 502, 503), several.containers, strict=True):
        one.refuses_with = status
    error = await several.refusal()
    assert (error.code, error.original_status) == ("container-refused", 503)


async def test_when_none_is_ready_that_is_said_at_once(several: Several) -> None:
    for one in several.pool.containers:
        one.health.lost()
    assert not several.pool.ready
    with pytest.raises(ParleyError) as caught:
        several.pool.check()
    assert caught.value.code == "upstream-unavailable"
    assert (await several.refusal()).code == "upstream-unavailable"


async def test_it_is_idle_when_no_stream_is_open_or_being_opened(several: Several) -> None:
    await bounded("it is idle", several.pool.until_idle())
    sinks = [await several.open() for _ in range(2)]
    several.containers[2].answers_with = b""
    opening = asyncio.create_task(several.open())
    connection = await several.containers[2].stream()
    idle = asyncio.create_task(several.pool.until_idle())
    for number, sink in enumerate(sinks):
        (await several.containers[number].stream()).close(1000)
        await sink.until_ended()
        await bounded("that stream is gone", several.pool.containers[number].until_idle())
    assert not idle.done()
    connection.accept()
    sink = await opening
    assert not idle.done()
    connection.close(1000)
    await sink.until_ended()
    await bounded("it is idle", idle)
    assert several.pool.streams == 0


async def test_no_further_container_is_tried_after_the_time_for_opening_is_over(log: LogWatch) -> None:
    async with AsyncExitStack() as stack:
        containers = [await stack.enter_async_context(RawContainer()) for _ in range(3)]
        for one in containers:
            one.answers_with = b""
        options = ContainerOptions(accept_timeout_s=10.0, handshake_timeout_s=QUICK_S, probe_interval_s=3600.0)
        changes = Changes()
        upstreams = [ContainerUpstream(one.url, options) for one in containers]
        pool = ContainerPool(upstreams, open_timeout_s=QUICK_S / 4, on_change=changes.notify)
        task = asyncio.create_task(pool.run())
        await changes.until("all are ready", lambda: all(one.ready for one in pool.containers))
        with pytest.raises(ParleyError) as caught:
            await bounded("a refusal", pool.open("", "", REQUEST_ID, Sink()))
        task.cancel()
        await asyncio.wait([task])
        assert caught.value.code == "container-refused"
        assert [len(one.streams) for one in containers[1:]] == [0, 0]


async def test_cancelling_its_task_cuts_what_is_open(log: LogWatch) -> None:
    async with RawContainer() as container:
        changes = Changes()
        pool = container_pool([container.url], ContainerOptions(accept_timeout_s=10.0), changes.notify)
        task = asyncio.create_task(pool.run())
        await changes.until("it is ready", lambda: pool.ready)
        sink = Sink()
        await pool.open("", "", REQUEST_ID, sink)
        task.cancel()
        await asyncio.wait([task])
        await (await container.stream()).until_lost()
        await bounded("no stream is left", pool.containers[0].until_idle())
        assert sink.ended == [(None, "Parley is going away.")]
