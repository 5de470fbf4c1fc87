"""What a stream of effects may look like, whatever happened: vLLM's protocol on each leg, and the client's side."""

from dataclasses import dataclass

from parley.core import effects as ef
from parley.core import events as ev


@dataclass
class LegGrammar:
    """Where the protocol stands on one leg."""

    is_connected: bool = False
    in_turn: bool = False
    awaits_done: bool = False
    pieces: int = 0


class Grammar:
    """Follows one session's events and effects, and fails at the first effect that may not come.

    On a leg: OpenLeg, then (StartTurn SendAudio+ EndTurn)*, each start after the first only when the turn before it is
    transcribed; what vLLM would drop or misread without a word is not allowed. Two legs at a time, no more; numbers of
    legs and of what the client gets have no gaps. `leg` is the newest leg.
    """

    def __init__(self) -> None:
        self.leg = 0
        self.legs: dict[int, LegGrammar] = {}
        self.seq = 0
        self.generation = 1
        self.paused = False
        self.ended = False

    def observe(self, event: ev.Event | None, effects: list[ef.Effect]) -> None:
        """An event (None: the beginning) and what came of it."""
        assert not (self.ended and effects), f"{effects} after the end"
        match event:
            case ev.LegOpened(leg) if leg in self.legs:
                self.legs[leg].is_connected = True
            case ev.TurnTranscribed(leg) if leg in self.legs:
                self.legs[leg].awaits_done = False
        for effect in effects:
            assert not self.ended, f"{effect} after the end"
            self._allow(effect)

    def _allow(self, effect: ef.Effect) -> None:
        match effect:
            case ef.OpenLeg() | ef.CloseLeg() | ef.StartTurn() | ef.SendAudio() | ef.EndTurn() | ef.MeasureSpeech():
                self._allow_on_leg(effect)
            case ef.PauseInput():
                assert not self.paused, "paused twice"
                self.paused = True
            case ef.ResumeInput():
                assert self.paused, "resumed without a pause"
                self.paused = False
            case ef.Attach(generation):
                assert generation > self.generation, "generations go up"
                self.generation, self.paused = generation, False
            case ef.EndSession():
                assert not self.legs, "the legs are closed before the session ends"
                self.ended = True
            case ef.SendDelta(seq=seq) | ef.SendDone(seq=seq) | ef.SendError(seq=seq) | ef.SendNotice(seq=seq) if seq:
                # What is sent again after a return has numbers that were given before.
                assert seq <= self.seq + 1, "numbers have no gaps"
                self.seq = max(self.seq, seq)
            case _:
                pass

    def _allow_on_leg(self, effect: ef.Effect) -> None:
        if isinstance(effect, ef.OpenLeg):
            assert len(self.legs) < 2, "two legs at a time"
            assert effect.leg == self.leg + 1, "legs are numbered from 1"
            self.leg = effect.leg
            self.legs[self.leg] = LegGrammar()
            return
        number = getattr(effect, "leg", 0)
        assert number in self.legs, f"{effect} on a leg that is not open"
        leg = self.legs[number]
        match effect:
            case ef.CloseLeg():
                del self.legs[number]
            case ef.StartTurn():
                assert leg.is_connected, "a turn begins on a connected leg"
                assert not leg.in_turn, "one turn at a time"
                assert not leg.awaits_done, "vLLM ignores a start before the turn's done"
                leg.in_turn, leg.pieces = True, 0
            case ef.SendAudio(audio=audio):
                assert leg.in_turn, "vLLM drops audio outside a turn"
                assert audio.samples > 0, "audio has samples"
                leg.pieces += 1
            case ef.EndTurn():
                assert leg.in_turn, "an end without a turn poisons the next one"
                assert leg.pieces, "a turn without audio is not the model's"
                leg.in_turn, leg.awaits_done = False, True
            case ef.MeasureSpeech():
                assert leg.in_turn, "only a running turn is measured"
