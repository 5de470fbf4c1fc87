"""Legs on the double of vLLM, and a session's end of them."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.upstream.vllm import VllmLeg
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import FakeConnection, FakeVllm
from tests.support.sound import pcm, pieces
from tests.support.waiting import Changes, bounded


class Sink:
    """Takes a leg's events and lets tests wait for them."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.headers: dict[str, str] = {}
        self._changes = Changes()

    def receive(self, event: ev.Event) -> None:
        self.events.append(event)
        self._changes.notify()

    def receive_delta(self, leg_id: int, text: Text) -> None:
        self.receive(ev.DeltaReceived(leg_id, text))

    def delay_s(self, leg_id: int) -> float:
        return 0.0

    def trace_headers(self, leg_id: int) -> Mapping[str, str]:
        return self.headers

    async def until[E: ev.Event](self, kind: type[E], count: int = 1) -> E:
        """The event that makes it so many of this kind."""
        await self._changes.until(f"{count} {kind.__name__}", lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of[E: ev.Event](self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text.decode() for event in self.of(ev.DeltaReceived))


OpenLeg = Callable[..., "asyncio.Task[VllmLeg]"]


async def opened(open_leg: OpenLeg, vllm: FakeVllm) -> tuple[VllmLeg, FakeConnection, Sink]:
    sink = Sink()
    leg = await bounded("the leg opens", open_leg(sink))
    return leg, await vllm.session(len(vllm.sessions) - 1), sink


async def failure(task: "asyncio.Task[VllmLeg]") -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        await bounded("the leg fails to open", task)
    return caught.value


def audio(seconds: float) -> list[Audio]:
    return [encode_audio(piece) for piece in pieces(pcm(seconds))]
