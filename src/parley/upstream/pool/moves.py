"""Legs that are to leave their model server: each session is asked, some at a time, and again until it has."""

import asyncio
from collections.abc import Iterable

from parley.core import events as ev
from parley.upstream.pool.member import PoolMember

_SLICE = 32
"""Sessions that are asked before others get their turn on the event loop."""


class Moves:
    """Asks the sessions on members that are draining to move: again after `again_s`, for there may have been no room
    elsewhere."""

    def __init__(self, again_s: float = 5.0) -> None:
        self._again_s = again_s
        self._wake = asyncio.Event()

    def begin(self) -> None:
        """There is somebody to be asked."""
        self._wake.set()

    async def ask(self, members: Iterable[PoolMember]) -> None:
        """Ask every session that has an open leg on one of these that is draining."""
        asked = 0
        for member in members:
            for watch in list(member.watches):
                # It may have been taken back meanwhile.
                if not member.is_draining:
                    break
                if watch.opened_at is None or watch.has_ended:
                    continue
                asked += 1
                if asked % _SLICE == 0:
                    await asyncio.sleep(0)
                watch.sink.receive(ev.RotationAsked(watch.leg_id, member.move_by))

    async def pause(self) -> None:
        """Until there is somebody to be asked, or it is time to ask again."""
        try:
            async with asyncio.timeout(self._again_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
