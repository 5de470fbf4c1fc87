"""Effects carry what people said, and never show it."""

from typing import get_args

import pytest

from parley.core import effects as ef
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.notices import TextRevised
from parley.core.retention import Retention

from .builders import USAGE

CANARY = "canary-7d1f"
AUDIO = Audio(CANARY.encode(), 1_600)
TEXT = Text.of(CANARY)
ERROR = ParleyError("shutting-down")

REVISED = TextRevised(2, 3, 9, TEXT, (0, 16_000))

EFFECTS: list[tuple[ef.Effect, str]] = [
    (ef.OpenLeg(1), "OpenLeg(leg=1, purpose=<LegPurpose.NEW: 3>)"),
    (ef.StartTurn(1), "StartTurn(leg=1)"),
    (ef.SendAudio(1, AUDIO), "SendAudio(leg=1, audio=Audio(samples=1600))"),
    (ef.EndTurn(1), "EndTurn(leg=1)"),
    (ef.CloseLeg(1), "CloseLeg(leg=1)"),
    (ef.MeasureSpeech(1, (AUDIO, AUDIO)), "MeasureSpeech(leg=1, pieces=(Audio(samples=1600), Audio(samples=1600)))"),
    (ef.SendDelta(TEXT, seq=4, item=2), "SendDelta(text=Text(bytes=11), seq=4, item=2)"),
    (
        ef.SendDone(TEXT, USAGE, seq=5, item=2, text_from=1_280),
        f"SendDone(text=Text(bytes=11), usage={USAGE!r}, seq=5, item=2, text_from=1280)",
    ),
    (ef.SendError(ERROR, seq=6), f"SendError(error={ERROR!r}, seq=6)"),
    (
        ef.SendNotice(REVISED, seq=7),
        "SendNotice(notice=TextRevised(item=2, start=3, end=9, text=Text(bytes=11), interval=(0, 16000)), seq=7)",
    ),
    (ef.IssueToken(), "IssueToken()"),
    (ef.Attach(2), "Attach(generation=2)"),
    (ef.CloseAttachment(1, ERROR), f"CloseAttachment(generation=1, error={ERROR!r})"),
    (ef.PauseInput(), "PauseInput()"),
    (ef.ResumeInput(), "ResumeInput()"),
    (ef.StoreState(), "StoreState()"),
    (ef.LeaveSession(), "LeaveSession()"),
    (ef.Retain(Retention.TRANSCRIPT), "Retain(retention=<Retention.TRANSCRIPT: 'transcript'>)"),
    (
        ef.KeepTurn(2, 1_600, 3_200, TEXT, text_from=1_700),
        "KeepTurn(item=2, begin=1600, end=3200, text=Text(bytes=11), text_from=1700)",
    ),
    (ef.EndSession(ERROR, seq=8), f"EndSession(error={ERROR!r}, seq=8)"),
]


def test_the_table_below_holds_every_effect() -> None:
    assert {type(effect) for effect, _ in EFFECTS} == set(get_args(ef.Effect))


@pytest.mark.parametrize(("effect", "shown"), EFFECTS, ids=[type(effect).__name__ for effect, _ in EFFECTS])
def test_an_effect_shows_its_facts_and_no_content(effect: ef.Effect, shown: str) -> None:
    assert repr(effect) == shown
    assert CANARY not in f"{effect} {effect!r}"


@pytest.mark.parametrize(
    "effect",
    [ef.SendDelta(TEXT), ef.SendDone(TEXT, USAGE), ef.SendError(ERROR), ef.SendNotice(REVISED), ef.EndSession(ERROR)],
    ids=lambda effect: type(effect).__name__,
)
def test_what_a_client_gets_has_no_number_unless_it_is_given_one(
    effect: ef.SendDelta | ef.SendDone | ef.SendError | ef.SendNotice | ef.EndSession,
) -> None:
    assert effect.seq == 0
