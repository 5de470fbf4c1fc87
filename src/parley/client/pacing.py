"""How fast recorded audio is sent: as it would be spoken, or as fast as the server takes it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class RealTimePace:
    """Lets every moment of the audio pass no earlier than it would have been spoken, counted from the first one.

    The waits don't add up errors: each is measured from the start.
    """

    def __init__(self, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._start_s: float | None = None

    async def reach(self, audio_s: float) -> None:
        """Wait until this place in the audio has been spoken."""
        if self._start_s is None:
            self._start_s = self._clock()
        wait_s = self._start_s + audio_s - self._clock()
        if wait_s > 0:
            await self._sleep(wait_s)


class FullPace:
    """Never waits: the server's own flow control sets the pace."""

    async def reach(self, audio_s: float) -> None:
        """Return at once."""


Pace = RealTimePace | FullPace
