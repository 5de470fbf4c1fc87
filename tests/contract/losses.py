"""The ways in which a model server is lost under a turn, and turns to lose it under."""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.contract.participant import Speaker
from tests.contract.stage import Stage
from tests.support.fake_vllm import FakeConnection
from tests.support.sound import pcm
from tests.support.voxtral import Speech, Voxtral

FRAME_MS = 80
FRAME_BYTES = 2_560
MS_BYTES = 32

LONG = pcm(3.5, seed=1)


@dataclass(frozen=True)
class Loss:
    """What a model server does in the middle of a turn, the reason that is given, and settings to notice it soon."""

    do: Callable[[FakeConnection], None]
    reason: str
    session: dict[str, Any] = field(default_factory=dict)


def reset(leg: FakeConnection) -> None:
    """RST instead of FIN."""
    assert leg._transport is not None
    leg._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leg.abort()


def end_unasked(leg: FakeConnection) -> None:
    leg.send(Voxtral.done_event(leg.model.generations[-1]))


LOSSES = {
    "crashes": Loss(lambda leg: leg.abort(), "upstream-closed"),
    "is stopped": Loss(lambda leg: leg.close(1012), "upstream-closed"),
    "resets the connection": Loss(reset, "upstream-closed"),
    "reports an error": Loss(
        lambda leg: leg.send_event("error", error="CUDA error", code="processing_error"), "upstream-error"
    ),
    "ends a turn that it was not told to end": Loss(end_unasked, "upstream-truncated"),
    "stops answering": Loss(lambda leg: leg.hold_model(), "upstream-stalled", {"stall_timeout_s": 0.4}),
}


def script(*words: str) -> Speech:
    """These words, one every 400 ms, the same in every turn; nothing for an empty one."""
    texts = [f" {word}" if word else "" for word in words]
    return lambda _turn, step: texts[step // 5] if step % 5 == 0 and step // 5 < len(texts) else ""


def later(speech: Speech, begin_ms: int) -> Speech:
    """The same speech for one who hears the turn from here on."""
    return lambda turn, step: speech(turn, step + begin_ms // FRAME_MS)


async def heard(stage: Stage, number: int, audio: bytes, turn: int = 0) -> FakeConnection:
    """A stream that was sent so much of its turn, and whose every word so far has arrived."""
    leg = await stage.leg(number)
    await leg.until_samples(len(audio) // 2, turn)
    await leg.until_read()
    return leg


async def with_full_journal(stage: Stage, speaker: Speaker) -> FakeConnection:
    """A turn of `LONG` whose model said two words, the last at 480 ms, and nothing to the 2.5 s after it."""
    await speaker.start()
    await speaker.say(LONG[: 1_000 * MS_BYTES])
    leg = await heard(stage, 0, LONG[: 1_000 * MS_BYTES])
    leg.hold_model()
    await speaker.say(LONG[1_000 * MS_BYTES :])
    await leg.until_samples(len(LONG) // 2)
    return leg


def talk(seconds: float) -> bytes:
    """Syllables of a sort: bursts of noise, with silence between them."""
    silence = bytes(8_000)
    return b"".join(pcm(0.25, seed) + silence for seed in range(int(seconds * 2)))
