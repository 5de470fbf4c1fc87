"""How much speech is in audio that a model answered with nothing: counted in threads, off the event loop."""

import asyncio
from collections.abc import Callable

from parley.core import effects as ef
from parley.core import events as ev
from parley.wire.vllm import pcm_of


class SpeechMeasuring:
    """The measurements of one session. `measure` counts the samples of speech in PCM16 LE at 16 kHz; answers go to
    `receive`, and what goes wrong to `broke`."""

    __slots__ = ("_broke", "_measure", "_receive", "_tasks")

    def __init__(
        self,
        measure: Callable[[bytes], int],
        receive: Callable[[ev.Event], None],
        broke: Callable[[Exception], None],
    ) -> None:
        self._measure = measure
        self._receive = receive
        self._broke = broke
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, effect: ef.MeasureSpeech) -> None:
        """Measure; SpeechMeasured is the answer."""
        task = asyncio.create_task(self._measured(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for those that run: a thread can't be cancelled, and one takes milliseconds."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _measured(self, effect: ef.MeasureSpeech) -> None:
        def measure() -> int:
            return self._measure(b"".join(map(pcm_of, effect.pieces)))

        try:
            speech_samples = await asyncio.to_thread(measure)
        except Exception as error:
            self._broke(error)
            return
        self._receive(ev.SpeechMeasured(effect.leg, speech_samples))
