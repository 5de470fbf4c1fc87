"""What a stream of effects may look like, whatever happened: vLLM's protocol on the leg, and the client's side."""

from parley.core import effects as ef
from parley.core import events as ev


class Grammar:
    """Follows one session's events and effects, and fails at the first effect that may not come.

    On a leg: OpenLeg, then (StartTurn SendAudio+ EndTurn)*, each start after the first only when the turn before it is
    transcribed; what vLLM would drop or misread without a word is not allowed.
    """

    def __init__(self) -> None:
        self.leg = 0
        self.is_open = False
        self.is_connected = False
        self.in_turn = False
        self.awaits_done = False
        self.pieces = 0
        self.paused = False
        self.ended = False

    def observe(self, event: ev.Event | None, effects: list[ef.Effect]) -> None:
        """An event (None: the beginning) and what came of it."""
        assert not (self.ended and effects), f"{effects} after the end"
        match event:
            case ev.LegOpened(leg) if leg == self.leg and self.is_open:
                self.is_connected = True
            case ev.TurnTranscribed(leg) if leg == self.leg:
                self.awaits_done = False
        for effect in effects:
            assert not self.ended, f"{effect} after the end"
            self._allow(effect)

    def _allow(self, effect: ef.Effect) -> None:
        match effect:
            case ef.OpenLeg(leg):
                assert not self.is_open, "one leg at a time"
                assert leg == self.leg + 1, "legs are numbered from 1"
                self.leg, self.is_open, self.is_connected = leg, True, False
                self.in_turn = self.awaits_done = False
            case ef.CloseLeg(leg):
                assert self.is_open, "only an open leg is closed"
                assert leg == self.leg
                self.is_open = self.is_connected = self.in_turn = False
            case ef.StartTurn(leg):
                assert self.is_connected, "a turn begins on a connected leg"
                assert leg == self.leg
                assert not self.in_turn, "one turn at a time"
                assert not self.awaits_done, "vLLM ignores a start before the turn's done"
                self.in_turn, self.pieces = True, 0
            case ef.SendAudio(leg):
                assert self.in_turn, "vLLM drops audio outside a turn"
                assert leg == self.leg
                self.pieces += 1
            case ef.EndTurn(leg):
                assert self.in_turn, "an end without a turn poisons the next one"
                assert leg == self.leg
                assert self.pieces, "a turn without audio is not the model's"
                self.in_turn, self.awaits_done = False, True
            case ef.PauseInput():
                assert not self.paused, "paused twice"
                self.paused = True
            case ef.ResumeInput():
                assert self.paused, "resumed without a pause"
                self.paused = False
            case ef.EndSession():
                assert not self.is_open, "the leg is closed before the session ends"
                self.ended = True
            case ef.SendDelta() | ef.SendDone() | ef.SendError():
                pass
