"""The desk: what sessions and their legs are given, what they are told while they wait, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from parley.access.caller import NOBODY
from parley.core import events as ev
from parley.core.admission import AdmissionLimits
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.tenant import Tenant
from parley.server.admission_desk import AdmissionDesk, Seat
from parley.upstream.leg import LegConnection
from tests.server.doubles import FakePool
from tests.support.legs import Sink
from tests.support.waiting import Changes, bounded

LONG_S = 600.0


class Desk:
    """A desk with a pool, and a clock that tests move: the loop's own, and so much more."""

    def __init__(self, limits: AdmissionLimits, *, streams: int) -> None:
        self.changes = Changes()
        self.pool = FakePool(self.changes, streams=streams)
        self.ahead_s = 0.0
        loop = asyncio.get_running_loop()
        self.desk = AdmissionDesk(limits, lambda caller: Tenant(caller.principal), lambda: loop.time() + self.ahead_s)
        self.desk.serve(self.pool)
        self.tasks: list[asyncio.Task[LegConnection]] = []

    def enter(self) -> Seat:
        return self.desk.enter(self.pool, "m", NOBODY)

    def begin(self, seat: Seat, sink: Sink, purpose: LegPurpose = LegPurpose.NEW) -> "asyncio.Task[LegConnection]":
        """Ask for a leg as a runner does."""
        self.tasks.append(asyncio.create_task(_opened(seat.open_leg(1, sink, purpose))))
        return self.tasks[-1]

    async def live(self) -> tuple[Seat, LegConnection]:
        """A session with its leg."""
        seat = self.enter()
        return seat, await bounded("its leg", self.begin(seat, Sink()))

    async def waiting(self, purpose: LegPurpose = LegPurpose.NEW) -> tuple[Seat, Sink, "asyncio.Task[LegConnection]"]:
        """A new session that has been told that it waits."""
        seat, sink = self.enter(), Sink()
        task = self.begin(seat, sink, purpose)
        await sink.until(ev.LegQueued)
        return seat, sink, task

    def close(self, leg: LegConnection) -> None:
        leg.close()
        self.pool.room()

    def tick(self, seconds: float) -> None:
        """So much later, the timer fires."""
        self.ahead_s += seconds
        self.desk._timer_fired()


async def _opened(opening: Coroutine[Any, Any, LegConnection]) -> LegConnection:
    return await opening


@asynccontextmanager
async def desk(
    *, sessions_max: int = 100, queue_max: int = 0, opening_max: int = 16, streams: int = 100
) -> AsyncIterator[Desk]:
    limits = AdmissionLimits(
        sessions_max=sessions_max,
        queue_max=queue_max,
        queue_timeout_s=LONG_S,
        opening_max=opening_max,
        retry_after_s=3.0,
    )
    one = Desk(limits, streams=streams)
    yield one
    for task in one.tasks:
        task.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)
    assert one.desk._timer is None, "nobody waits, and a timer runs"
    assert (one.desk.view.opening, one.desk.view.queued) == (0, 0)


async def test_who_finds_room_is_told_nothing_of_a_queue() -> None:
    async with desk() as one:
        sink = Sink()
        await bounded("its leg", one.begin(one.enter(), sink))
        assert sink.events == []


async def test_a_node_that_is_full_refuses_whoever_asks_and_whoever_enters() -> None:
    async with desk(sessions_max=1) as one:
        await one.live()
        with pytest.raises(ParleyError, match="at-capacity"):
            one.desk.check(one.pool, "m")
        with pytest.raises(ParleyError, match="at-capacity"):
            one.enter()
        assert one.desk.view.refused == 2


async def test_who_waits_is_told_its_position_and_then_that_it_has_a_stream() -> None:
    async with desk(streams=1, queue_max=2) as one:
        _, leg = await one.live()
        _, sink, task = await one.waiting()
        assert sink.events == [ev.LegQueued(1, 1, None)]
        one.close(leg)
        await bounded("its leg", task)
        assert sink.events == [ev.LegQueued(1, 1, None), ev.LegAdmitted(1)]


async def test_those_behind_are_told_when_they_come_nearer() -> None:
    async with desk(streams=1, queue_max=2) as one:
        _, leg = await one.live()
        await one.waiting()
        _, second, _ = await one.waiting()
        assert second.events == [ev.LegQueued(1, 2, None)]
        one.close(leg)
        one.tick(1.0)
        assert second.events[1:] == [ev.LegQueued(1, 1, None)]


async def test_a_long_line_is_told_over_several_turns_of_the_loop() -> None:
    async with desk(streams=1, queue_max=200) as one:
        _, leg = await one.live()
        sinks = [(await one.waiting())[1] for _ in range(120)]
        one.close(leg)
        one.tick(1.0)
        told = [sum(len(sink.events) > 1 for sink in sinks)]
        # Who was to be told, and is gone before, is passed over.
        one.tasks[-1].cancel()
        await one.changes.until("the first one's leg", lambda: len(one.pool.legs) == 2)
        for _ in range(3):
            await asyncio.sleep(0)
        told.append(sum(len(sink.events) > 1 for sink in sinks))
        assert told[0] < told[1]
        assert not one.desk._to_tell


async def test_nobody_is_told_more_than_once_a_second() -> None:
    async with desk(streams=1, queue_max=2) as one:
        _, leg = await one.live()
        await one.waiting()
        _, second, _ = await one.waiting()
        one.tick(1.0)
        one.close(leg)
        one.tick(0.5)
        assert len(second.events) == 1
        one.tick(0.5)
        assert len(second.events) == 2


async def test_nobody_is_told_what_is_no_news() -> None:
    async with desk(streams=1, queue_max=2) as one:
        await one.live()
        _, sink, _ = await one.waiting()
        for _ in range(5):
            one.tick(1.0)
        assert len(sink.events) == 1


async def test_who_waits_is_told_how_long_as_soon_as_that_is_known_and_when_it_changes() -> None:
    async with desk(sessions_max=2, queue_max=2) as one:
        seats = [(await one.live())[0] for _ in range(2)]
        _, sink, task = await one.waiting()
        for seat in seats:
            # Their places are taken again before anybody who waits gets them.
            one.ahead_s += 4.0
            one.desk._admission.leave(seat._place, one.desk._clock())
        await bounded("its leg", task)
        await one.live()
        _, sink, _ = await one.waiting()
        (first,) = sink.of(ev.LegQueued)
        assert first.eta_s is not None
        assert 3.5 < first.eta_s < 8.0
        for _ in range(20):
            one.tick(2.0)
        later = sink.of(ev.LegQueued)
        assert 1 < len(later) < 20
        assert later[-1].eta_s is not None
        assert later[-1].eta_s > first.eta_s


async def test_a_timeout_is_told_with_a_hint_and_ends_the_wait() -> None:
    async with desk(streams=1, queue_max=2) as one:
        await one.live()
        seat, sink, task = await one.waiting()
        one.tick(LONG_S)
        with pytest.raises(ParleyError) as caught:
            await bounded("the refusal", task)
        assert (caught.value.code, caught.value.retry_after_s) == ("at-capacity", 3.0)
        assert sink.of(ev.LegAdmitted) == []
        seat.leave()
        assert one.desk.view.live == 1


async def test_a_session_that_waits_too_long_before_it_asks_for_its_leg_hears_of_it_then() -> None:
    async with desk(streams=1, queue_max=2) as one:
        await one.live()
        seat = one.enter()
        one.tick(LONG_S)
        with pytest.raises(ParleyError, match="at-capacity"):
            await bounded("the refusal", one.begin(seat, Sink()))


async def test_a_wait_that_is_cancelled_is_withdrawn() -> None:
    async with desk(streams=1, queue_max=1) as one:
        _, leg = await one.live()
        _, _, task = await one.waiting()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert one.desk.view.queued == 0
        one.close(leg)
        await one.live()


async def test_an_opening_that_is_cancelled_gives_everything_back_but_the_place() -> None:
    async with desk(streams=1, opening_max=1) as one:
        one.pool.may_open.clear()
        seat = one.enter()
        task = one.begin(seat, Sink())
        await one.changes.until("it is being opened", lambda: one.pool.opening == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (one.desk.view.live, one.desk.view.opening, one.pool.used) == (1, 0, 0)
        one.pool.may_open.set()
        await bounded("another leg", one.begin(seat, Sink(), LegPurpose.RECOVERY))


async def test_a_leg_that_is_being_opened_is_counted_once() -> None:
    async with desk(streams=2) as one:
        one.pool.may_open.clear()
        opening = [one.begin(one.enter(), Sink())]
        await one.changes.until("it is being opened", lambda: one.pool.opening == 1)
        opening.append(one.begin(one.enter(), Sink()))
        one.pool.may_open.set()
        await bounded("both", asyncio.gather(*opening))


async def test_room_that_comes_of_time_alone_is_found_within_a_second() -> None:
    async with desk(streams=1, queue_max=1) as one:
        await one.live()
        _, _, task = await one.waiting()
        one.pool.streams = 2
        one.tick(1.0)
        await bounded("its leg", task)


async def test_an_opening_that_fails_gives_its_stream_to_the_next() -> None:
    async with desk(streams=1, queue_max=1) as one:
        one.pool.may_open.clear()
        one.pool.fails_next_with = ParleyError("upstream-unavailable")
        failing = one.begin(one.enter(), Sink())
        await one.changes.until("it is being opened", lambda: one.pool.opening == 1)
        _, _, task = await one.waiting()
        one.pool.may_open.set()
        with pytest.raises(ParleyError, match="upstream-unavailable"):
            await bounded("the failure", failing)
        await bounded("the next one's leg", task)


async def test_one_that_is_cancelled_just_as_it_is_admitted_gives_its_stream_to_the_next() -> None:
    async with desk(streams=1, queue_max=2) as one:
        _, leg = await one.live()
        _, _, first = await one.waiting()
        _, _, second = await one.waiting()
        one.close(leg)
        first.cancel()
        await bounded("the next one's leg", second)


async def test_a_place_is_given_back_with_the_session_and_once() -> None:
    async with desk(sessions_max=2) as one:
        seat, leg = await one.live()
        await one.live()
        one.close(leg)
        for _ in range(2):
            seat.leave()
        assert one.desk.view.live == 1


async def test_a_session_that_never_asked_for_its_leg_gives_its_stream_back() -> None:
    async with desk(streams=1) as one:
        one.enter().leave()
        await one.live()


async def test_a_living_session_that_waits_comes_before_new_ones() -> None:
    async with desk(streams=2, queue_max=2) as one:
        seat, leg = await one.live()
        _, other = await one.live()
        one.close(leg)
        await one.live()
        _, _, new = await one.waiting()
        sink = Sink()
        returning = one.begin(seat, sink, LegPurpose.RETURN)
        await sink.until(ev.LegQueued)
        one.close(other)
        await bounded("its leg", returning)
        assert not new.done()


async def test_a_successor_is_refused_at_once_and_never_told_of_a_queue() -> None:
    async with desk(streams=1, queue_max=2) as one:
        seat, _ = await one.live()
        sink = Sink()
        with pytest.raises(ParleyError, match="at-capacity"):
            await bounded("the refusal", one.begin(seat, sink, LegPurpose.SUCCESSOR))
        assert sink.events == []


async def test_a_successor_that_waits_to_be_opened_is_told_nothing_either() -> None:
    async with desk(opening_max=1) as one:
        seat, _ = await one.live()
        one.pool.may_open.clear()
        opening = one.begin(one.enter(), Sink())
        await one.changes.until("it is being opened", lambda: one.pool.opening == 2)
        sink = Sink()
        successor = one.begin(seat, sink, LegPurpose.SUCCESSOR)
        await asyncio.sleep(0)
        one.tick(1.0)
        one.pool.may_open.set()
        await bounded("both", asyncio.gather(opening, successor))
        assert sink.events == []


async def test_one_that_waits_to_be_opened_is_told_only_when_it_takes_long() -> None:
    async with desk(opening_max=1) as one:
        one.pool.may_open.clear()
        opening = one.begin(one.enter(), Sink())
        await one.changes.until("it is being opened", lambda: one.pool.opening == 1)
        sink = Sink()
        held_back = one.begin(one.enter(), sink)
        await asyncio.sleep(0)
        assert sink.events == []
        one.tick(1.0)
        assert sink.events == [ev.LegQueued(1, 1, None)]
        one.pool.may_open.set()
        await bounded("both", asyncio.gather(opening, held_back))
        assert sink.events[1:] == [ev.LegAdmitted(1)]


async def test_a_pool_that_is_away_says_so_to_those_who_live_and_lets_new_ones_wait() -> None:
    async with desk(streams=1, queue_max=1) as one:
        seat, leg = await one.live()
        leg.close()
        one.pool.ready = False
        one.pool.fails_with = ParleyError("upstream-unavailable")
        _, _, new = await one.waiting()
        with pytest.raises(ParleyError, match="upstream-unavailable"):
            await bounded("the failure", one.begin(seat, Sink(), LegPurpose.RECOVERY))
        one.pool.ready, one.pool.fails_with = True, None
        one.pool.room()
        await bounded("the new one's leg", new)


async def test_a_session_from_another_node_has_its_place_at_once_and_a_stream_when_it_asks() -> None:
    async with desk(sessions_max=1, queue_max=1) as one:
        seat = one.desk.enter(one.pool, "m", NOBODY, returns=True)
        assert (one.desk.view.live, one.pool.used) == (1, 0)
        await bounded("its leg", one.begin(seat, Sink(), LegPurpose.RETURN))
        with pytest.raises(ParleyError, match="at-capacity"):
            one.desk.enter(one.pool, "m", NOBODY, returns=True)


async def test_the_view_says_how_things_stand() -> None:
    async with desk(sessions_max=1, queue_max=5) as one:
        await one.live()
        await one.waiting()
        view = one.desk.view
        assert (view.live, view.live_max, view.queued, view.queue_max, view.opening) == (1, 1, 1, 5, 0)
        one.tick(LONG_S)
        assert (one.desk.view.refused, one.desk.view.expired) == (0, 1)
