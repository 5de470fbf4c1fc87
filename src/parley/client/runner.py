"""Performs what a client's session wants done: one task with one connection at a time.

The session decides (`resumption`); here are the socket, the clock and chance. Input goes into the session directly,
from whichever task calls; the runner's task reads the socket and makes connections.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.connection import ConnectionLimits
from parley.client.events import ConnectionLost, Event, SessionResumed
from parley.client.failure import SessionFailed
from parley.client.link import Dial, Link
from parley.client.renewal import Renewal
from parley.client.resumption import ClientMachine
from parley.core.errors import ParleyError

RENEWED = 1001
"""Close code of a connection that was left for a younger one: RFC 6455's "going away"."""


class Runner:
    """Runs one session. `run` is for a task of its own; everything else is for the user's tasks. `dials` make
    connections, one for each of the machine's places."""

    def __init__(self, machine: ClientMachine, dials: Sequence[Dial], limits: ConnectionLimits) -> None:
        self._machine = machine
        self._dials = dials
        self._dial = dials[0]
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._connection: Link | None = None
        self._discarded: Link | None = None
        self._renewal = Renewal(self._dial_again, self._changed)
        self._unsaid: ConnectionLost | None = None
        self._wanted: Connect | None = None
        self._events: deque[Event | SessionFailed] = deque()
        self._failure: SessionFailed | None = None
        self._is_closing = False
        self._is_dialing = False
        self._is_renewing = False
        self._has_work = asyncio.Event()
        self._has_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # ---- for the user's tasks

    def start(self) -> None:
        """Begin; `close` ends it."""
        self._task = asyncio.create_task(self._run())

    async def greeted(self) -> None:
        """Wait until the server has begun the session.

        Raises:
            SessionFailed: it has not, and won't.
        """
        while not self._machine.is_greeted:
            self._check()
            await self._change()

    async def until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until input may be given: the session takes it, and the socket does not lag behind.

        Raises:
            SessionFailed: the session is over; or upstream-stalled, when the server takes nothing for too long.
            RuntimeError: the session was closed.
        """
        timeout_s = self._limits.send_stall_timeout_s
        stalls_at = self._loop.time() + timeout_s
        while True:
            self._check()
            if not self._is_server_behind:
                if is_ready():
                    return
                stalls_at = self._loop.time() + timeout_s
            elif self._loop.time() >= stalls_at:
                raise SessionFailed.of(ParleyError("upstream-stalled", f"It took no audio for {timeout_s:g} s."))
            await self._change(stalls_at)

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what the session wants."""
        for action in actions:
            match action:
                case Send(message):
                    if self._connection is not None:
                        self._connection.send(message)
                case Emit(event):
                    self._tell(event)
                case Fail(failure):
                    self._tell(failure)
                    if self._machine.has_ended:
                        self._failure = failure
                case Connect():
                    self._wanted = action
                case Disconnect():
                    self._discarded = self._connection or self._discarded
                    self._connection = self._wanted = None
        self._changed()

    async def next_event(self) -> Event:
        """The next event.

        Raises:
            SessionFailed: what the server reported, or that the session is over.
            StopAsyncIteration: the session has ended as was asked.
        """
        while not self._events:
            if self._failure is None and (self._machine.has_ended or self._is_over):
                raise StopAsyncIteration
            self._check()
            await self._change()
        if not self._has_room:
            self._has_work.set()
        event = self._events.popleft()
        if isinstance(event, SessionFailed):
            raise event
        return event

    async def close(self) -> None:
        """End the session; the server is given `close_timeout_s` to say that it has ended."""
        self._is_closing = True
        self.perform(self._machine.end_session())
        task = self._task
        assert task is not None
        try:
            ends_at = self._loop.time() + self._limits.close_timeout_s
            while self._machine.is_connected and not task.done() and self._loop.time() < ends_at:
                await self._change(ends_at)
        finally:
            # Also for whoever is interrupted meanwhile: the task closes its connection within a bound, and is awaited.
            if self._is_dialing or not self._machine.has_ended:
                task.cancel()
            # It may be waiting for work, of which there is none any more.
            self._has_work.set()
            await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    @property
    def _has_room(self) -> bool:
        return self._is_closing or len(self._events) < self._limits.events_max

    @property
    def _is_server_behind(self) -> bool:
        """Whether input waits for the server to take what it was sent."""
        machine, connection = self._machine, self._connection
        if connection is None:
            return False
        return not connection.can_send or (machine.can_resume and not machine.can_take_input)

    @property
    def _is_over(self) -> bool:
        return self._task is None or self._task.done()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._machine.has_ended or self._is_over:
            raise RuntimeError("The session is over.")

    def _tell(self, event: Event | SessionFailed) -> None:
        if self._is_renewing and isinstance(event, ConnectionLost):
            self._unsaid = event
            return
        if self._unsaid is not None and isinstance(event, SessionResumed) and event.outcome == "resumed":
            # A renewal that cost nothing is nobody's business.
            self._unsaid = None
            return
        self._say_unsaid()
        self._keep(event)

    def _say_unsaid(self) -> None:
        unsaid, self._unsaid = self._unsaid, None
        if unsaid is not None:
            self._keep(unsaid)

    def _keep(self, event: Event | SessionFailed) -> None:
        # While the session is closed, perhaps nobody listens any more.
        if not self._is_closing or len(self._events) < self._limits.events_max:
            self._events.append(event)

    def _changed(self) -> None:
        self._has_work.set()
        self._has_changed.set()

    async def _change(self, at: float | None = None) -> None:
        """Wait until something has changed, at most until this time."""
        await _set_again(self._has_changed, self._loop, at)

    # ---- the task

    async def _run(self) -> None:
        try:
            self.perform(self._machine.connect(self._loop.time()))
            while not self._machine.has_ended:
                if self._discarded is not None:
                    await self._drop()
                elif self._wanted is not None:
                    await self._connect()
                else:
                    await self._work()
        finally:
            self._has_changed.set()
            if (connection := self._connection or self._discarded) is not None:
                self._connection = self._discarded = None
                await connection.close()
            await self._renewal.close()
            self._has_changed.set()

    async def _work(self) -> None:
        self._has_work.clear()
        self._step()
        if self._has_work.is_set() or self._machine.has_ended:
            # The step made more work, or the last one was done; the reader of its events comes first.
            await asyncio.sleep(0)
        else:
            times = (self._machine.next_deadline(), self._renew_at)
            await _set_again(self._has_work, self._loop, min((at for at in times if at is not None), default=None))

    def _step(self) -> None:
        """Time, then messages, then the end of the connection, which comes after the messages before it."""
        machine, now = self._machine, self._loop.time()
        if (due_at := machine.next_deadline()) is not None and now >= due_at:
            self.perform(machine.timer_fired(now, random.random()))  # noqa: S311 (it spreads retries)
        connection = self._connection
        while connection is not None and connection is self._connection and self._has_room:
            message = connection.receive()
            if message is not None:
                self.perform(machine.message_received(message, now))
            elif connection.close_code is not None:
                self._say_unsaid()
                self._leave(connection, now, connection.close_code)
            else:
                self._look_for_renewal(connection, now)
                return

    def _leave(self, connection: Link, now: float, close_code: int) -> None:
        self._discarded, self._connection = connection, None
        self.perform(self._machine.connection_lost(now, close_code, random.random()))  # noqa: S311

    @property
    def _renew_at(self) -> float | None:
        """When there is something to do about the connection's age; None while something is done, or can't be."""
        connection, machine = self._connection, self._machine
        if connection is None or connection.renew_at is None or not machine.is_greeted:
            return None
        if self._is_closing or not self._has_room:
            return None
        if machine.can_resume:
            return None if self._renewal.is_under_way else max(connection.renew_at, self._renewal.not_before)
        return connection.renew_at if machine.is_idle else None

    def _look_for_renewal(self, connection: Link, now: float) -> None:
        """Have another connection in the place of one that has become old: where the session outlives it, once the
        other one is there; else between turns, as the next turn connects again."""
        if self._renewal.is_ready:
            # Nothing is lost: what the server has not acknowledged is sent again, what is not received comes again.
            self._is_renewing = True
            self._leave(connection, now, RENEWED)
            self._is_renewing = False
        elif (renew_at := self._renew_at) is not None and now >= renew_at:
            if self._machine.can_resume:
                self._renewal.begin()
            else:
                self._leave(connection, now, RENEWED)

    async def _connect(self) -> None:
        wanted, self._wanted = self._wanted, None
        assert wanted is not None
        self._is_dialing = True
        self._dial = self._dials[wanted.place]
        try:
            self._connection = await self._renewal.take() or await self._dial(
                resume=wanted.url_has_resume, changed=self._changed
            )
        except SessionFailed as failure:
            self.perform(self._machine.connection_failed(self._loop.time(), failure, random.random()))  # noqa: S311
        else:
            self.perform(self._machine.connection_opened(self._loop.time()))
        finally:
            self._is_dialing = False

    async def _dial_again(self, *, resume: bool, changed: Callable[[], None]) -> Link:
        return await self._dial(resume=resume, changed=changed)

    async def _drop(self) -> None:
        connection, self._discarded = self._discarded, None
        assert connection is not None
        await connection.abort()


async def _set_again(event: asyncio.Event, loop: asyncio.AbstractEventLoop, at: float | None) -> None:
    """Wait until the event is set from now on, at most until this time. It may be awaited by several."""
    event.clear()
    timer = None if at is None else loop.call_at(at, event.set)
    try:
        await event.wait()
    finally:
        if timer is not None:
            timer.cancel()
