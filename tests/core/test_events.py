"""Events carry what people said, and never show it."""

from typing import get_args

import pytest

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import AtBound
from parley.core.retention import Retention

from .builders import USAGE

CANARY = "canary-7d1f"
AUDIO = Audio(CANARY.encode(), 1_600)
TEXT = Text.of(CANARY)
ERROR = ParleyError("upstream-closed", "It closed with code 1006.")

EVENTS: list[tuple[ev.Event, str]] = [
    (ev.AudioReceived(AUDIO), "AudioReceived(audio=Audio(samples=1600), messages=1)"),
    (ev.TurnStarted(), "TurnStarted()"),
    (ev.TurnEnded(), "TurnEnded()"),
    (ev.ModelNamed("voxtral"), "ModelNamed(name='voxtral')"),
    (ev.InputRejected(ERROR), f"InputRejected(error={ERROR!r})"),
    (ev.ClientBlocked(), "ClientBlocked()"),
    (ev.ClientUnblocked(), "ClientUnblocked()"),
    (ev.ClientClosed(), "ClientClosed()"),
    (ev.ResumeEnabled(), "ResumeEnabled()"),
    (
        ev.PoliciesChosen(AtBound.TERMINATE),
        "PoliciesChosen(input=<AtBound.TERMINATE: 'terminate'>, output=None)",
    ),
    (
        ev.RetentionChosen(Retention.TRANSCRIPT),
        "RetentionChosen(retention=<Retention.TRANSCRIPT: 'transcript'>, consent=False)",
    ),
    (ev.OutputAcked(7), "OutputAcked(seq=7)"),
    (ev.SessionClosed(), "SessionClosed()"),
    (ev.InputCleared(), "InputCleared()"),
    (ev.InputFinished(), "InputFinished()"),
    (ev.TurnCancelled(3), "TurnCancelled(item=3)"),
    (ev.ResumeRequested(2, 7), "ResumeRequested(generation=2, seq=7)"),
    (ev.LegQueued(1, 4, 2.5), "LegQueued(leg=1, position=4, eta_s=2.5)"),
    (ev.LegAdmitted(1), "LegAdmitted(leg=1)"),
    (ev.LegOpened(1), "LegOpened(leg=1)"),
    (ev.LegFailed(1, ERROR), f"LegFailed(leg=1, error={ERROR!r})"),
    (ev.LegBlocked(1), "LegBlocked(leg=1)"),
    (ev.LegUnblocked(1), "LegUnblocked(leg=1)"),
    (ev.DeltaReceived(1, TEXT), "DeltaReceived(leg=1, text=Text(bytes=11))"),
    (ev.TurnTranscribed(1, TEXT, USAGE), f"TurnTranscribed(leg=1, text=Text(bytes=11), usage={USAGE!r})"),
    (ev.SpeechMeasured(1, 800), "SpeechMeasured(leg=1, speech_samples=800)"),
    (ev.RotationAsked(), "RotationAsked(leg=0, at_once_at=None)"),
    (ev.DrainStarted(9.5), "DrainStarted(deadline=9.5, move_at=None, move_by=None)"),
    (ev.DrainCancelled(), "DrainCancelled()"),
    (ev.StateStored(), "StateStored()"),
    (ev.StateRefused(ERROR), f"StateRefused(error={ERROR!r})"),
    (ev.EndAsked(), "EndAsked(code='ended-by-operator', retry_after_s=None)"),
    (ev.TimerFired(), "TimerFired()"),
]


def test_the_table_below_holds_every_event() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(ev.Event))


@pytest.mark.parametrize(("event", "shown"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS])
def test_an_event_shows_its_facts_and_no_content(event: ev.Event, shown: str) -> None:
    assert repr(event) == shown
    assert CANARY not in f"{event} {event!r}"


def test_a_client_that_cancels_without_an_item_means_the_oldest_turn() -> None:
    assert ev.TurnCancelled() == ev.TurnCancelled(0)
