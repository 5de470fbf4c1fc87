"""Effects carry what people said, and never show it."""

from typing import get_args

import pytest

from parley.core import effects as ef
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError

from .builders import USAGE

CANARY = "canary-7d1f"
AUDIO = Audio(CANARY.encode(), 1_600)
TEXT = Text.of(CANARY)
ERROR = ParleyError("shutting-down")

EFFECTS: list[tuple[ef.Effect, str]] = [
    (ef.OpenLeg(1), "OpenLeg(leg=1)"),
    (ef.StartTurn(1), "StartTurn(leg=1)"),
    (ef.SendAudio(1, AUDIO), "SendAudio(leg=1, audio=Audio(samples=1600))"),
    (ef.EndTurn(1), "EndTurn(leg=1)"),
    (ef.CloseLeg(1), "CloseLeg(leg=1)"),
    (ef.SendDelta(TEXT), "SendDelta(text=Text(bytes=11))"),
    (ef.SendDone(TEXT, USAGE), f"SendDone(text=Text(bytes=11), usage={USAGE!r})"),
    (ef.SendError(ERROR), f"SendError(error={ERROR!r})"),
    (ef.PauseInput(), "PauseInput()"),
    (ef.ResumeInput(), "ResumeInput()"),
    (ef.EndSession(ERROR), f"EndSession(error={ERROR!r})"),
]


def test_the_table_below_holds_every_effect() -> None:
    assert {type(effect) for effect, _ in EFFECTS} == set(get_args(ef.Effect))


@pytest.mark.parametrize(("effect", "shown"), EFFECTS, ids=[type(effect).__name__ for effect, _ in EFFECTS])
def test_an_effect_shows_its_facts_and_no_content(effect: ef.Effect, shown: str) -> None:
    assert repr(effect) == shown
    assert CANARY not in f"{effect} {effect!r}"
