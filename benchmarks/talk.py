"""A client that talks to a gateway at the pace of speech, and remembers what came of it and when."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from parley.audio.pcm import split_pcm
from parley.client import (
    Queued,
    RealtimeSession,
    Recovered,
    Recovering,
    SessionFailed,
    SessionResumed,
    TextDelta,
    TextRevised,
    TurnDone,
    connect,
)

_PIECE_MS = 100


@dataclass(slots=True)
class Talk:
    """One session as its client saw it. Times on the monotonic clock."""

    began_at: float = 0.0
    text: str = ""
    said_at: list[float] = field(default_factory=list)
    said_characters: list[int] = field(default_factory=list)
    cut_at: list[float] = field(default_factory=list)
    lost_at: list[float] = field(default_factory=list)
    recovered_at: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    failed: SessionFailed | None = None

    @property
    def failure(self) -> str:
        """Why it failed; empty when it did not."""
        return "" if self.failed is None else str(self.failed)


async def talk(url: str, pcm: bytes, speed: float = 1.0, positions: list[int] | None = None) -> Talk:
    """Streams a turn at a pace, through whatever happens, and collects what came of it.

    `positions` gets the session's places in the queue, if it has to wait.
    """
    seen = Talk(began_at=time.monotonic())
    try:
        async with connect(url) as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(_send(session, pcm, speed))
            async for event in session:
                match event:
                    case TextDelta():
                        seen.said_at.append(time.monotonic())
                        seen.said_characters.append(len(event.text))
                    case TextRevised():
                        seen.revisions += 1
                    case Queued():
                        if event.position and positions is not None:
                            positions.append(event.position)
                    case SessionResumed():
                        seen.outcomes[event.outcome] += 1
                    case Recovering():
                        seen.lost_at.append(time.monotonic())
                    case Recovered():
                        seen.recovered_at.append(time.monotonic())
                        seen.outcomes[event.outcome] += 1
                    case TurnDone():
                        seen.text = event.text
                        break
    except* SessionFailed as group:
        (failed,) = group.exceptions[:1]
        assert isinstance(failed, SessionFailed), "so it was caught"
        seen.failed = failed
    return seen


async def _send(session: RealtimeSession, pcm: bytes, speed: float) -> None:
    await session.start_turn()
    began = time.monotonic()
    for number, piece in enumerate(split_pcm(pcm, _PIECE_MS), 1):
        await session.send_audio(piece)
        await asyncio.sleep(max(0.0, began + number * _PIECE_MS / 1000 / speed - time.monotonic()))
    await session.end_turn()


def lateness_s(one: Talk, reference: Talk) -> list[float]:
    """How much later than the reference a session had as much text, for each of its pieces of text, in seconds."""
    times, characters = [], 0
    reached: list[tuple[int, float]] = []
    for at, length in zip(reference.said_at, reference.said_characters, strict=True):
        characters += length
        reached.append((characters, at - reference.began_at))
    characters = index = 0
    for at, length in zip(one.said_at, one.said_characters, strict=True):
        characters += length
        while index + 1 < len(reached) and reached[index][0] < characters:
            index += 1
        times.append(at - one.began_at - reached[index][1])
    return times


def longest_pause_s(one: Talk, reference: Talk) -> float:
    """By how much the text of a session fell behind what is usual for it, at the worst, in seconds."""
    late = sorted(lateness_s(one, reference))
    return late[-1] - late[len(late) // 2] if late else 0.0
