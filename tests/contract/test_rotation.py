"""The session contract: turns that are moved to a fresh stream before the old one is full, and nobody notices."""

import json

import pytest

from tests.contract.losses import FRAME_MS, MS_BYTES, later, script
from tests.contract.marks import requirement
from tests.contract.stage import Stage
from tests.support.fake_vllm import MODEL
from tests.support.sound import pcm, pieces
from tests.support.voxtral import transcript

AUDIO = pcm(5.0)
FIRST_BYTES = 3_200
"""What a turn begins with: a tenth of a second."""
WITH_PAUSE = script("eins", "zwei", "drei", "", "", "", "vier", "fünf", "sechs", "sieben", "acht")
PAUSE_MS = 11 * FRAME_MS
"""Where the pause begins: "drei" is said with the eleventh frame."""


@requirement("rotation", "rotation-silent")
@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_turn_is_moved_at_a_pause_and_nobody_is_told(stage: Stage, *, is_asked: bool) -> None:
    await stage.serve(session={} if is_asked else {"rotate_after_s": 2.0})
    stage.vllm.speech = WITH_PAUSE
    client = await stage.opted_in()
    leg = await stage.leg()
    stage.vllm.speech = later(WITH_PAUSE, PAUSE_MS)
    await client.start()
    await client.say(AUDIO[:FIRST_BYTES])
    await leg.until_received("start")
    if is_asked:
        # The watch on the model server's memory does.
        stage.server.host.relieve()
    await client.say(AUDIO[FIRST_BYTES:])
    await leg.until_lost()
    await client.finish()
    text = transcript(5 * 16_000, speech=WITH_PAUSE)
    await client.until("transcription.done", text=text)
    assert client.kinds == ["transcription.done"]
    assert client.items["item_1"].pieces == text
    assert [one.turns for one in stage.vllm.sessions[1:]] == [[AUDIO[PAUSE_MS * MS_BYTES :]]]


@requirement("rotation", "rotation-silent")
async def test_a_turn_without_a_pause_is_moved_before_the_models_context_is_full(stage: Stage) -> None:
    # 39 tokens are the prompt's: 200 frames are left.
    stage.vllm.models = json.dumps({"object": "list", "data": [{"id": MODEL, "max_model_len": 239}]}).encode()
    stage.vllm.speech = lambda _turn, _step: " ja"
    await stage.serve(session={"journal_max_s": 3.0})
    client = await stage.opted_in()
    await client.start()
    await stage.leg()
    for piece in pieces(pcm(30.0)):
        await client.append(piece)
        for leg in stage.vllm.live:
            await leg.until_read()
    await client.finish()
    text = transcript(30 * 16_000, speech=stage.vllm.speech)
    await client.until("transcription.done", text=text)
    assert client.kinds == ["transcription.done"]
    assert client.items["item_1"].pieces == text
    steps = [generation.steps for leg in stage.vllm.sessions for generation in leg.model.generations]
    assert len(steps) >= 2
    assert max(steps) <= 200
