"""A whole session without a network: a client with a script, the session, and a model server that does its part."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.core.usage import Usage

from .builders import give
from .grammar import Grammar

FIRST_DELTA_SAMPLES = 9_000
FRAME_SAMPLES = 1_280
FLUSH_STEPS = 17
"""Voxtral's clock on vLLM: the first delta after 562.5 ms, one for every further 80 ms, 17 after the end."""


class ReferenceModel:
    """A model server on Voxtral's clock. It is strict: what vLLM would drop or misread fails here."""

    def __init__(self) -> None:
        self.turns: list[list[Audio]] = []
        self.texts: list[str] = []
        self._running = False
        self._ended = False
        self._deltas: list[str] = []

    def start_turn(self) -> None:
        """`commit`."""
        assert not self._running
        self._running, self._ended, self._deltas = True, False, []
        self.turns.append([])

    def send_audio(self, audio: Audio) -> None:
        """`append`."""
        assert self._running
        assert not self._ended
        self.turns[-1].append(audio)

    def end_turn(self) -> None:
        """`commit` with `final`."""
        assert self._running
        assert not self._ended
        self._ended = True

    @property
    def has_output(self) -> bool:
        """Whether there is a delta or a done to be had from the audio so far."""
        return self._running and (self._ended or len(self._deltas) < self._due)

    @property
    def _due(self) -> int:
        samples = sum(audio.samples for audio in self.turns[-1])
        heard = 0 if samples < FIRST_DELTA_SAMPLES else 1 + (samples - FIRST_DELTA_SAMPLES) // FRAME_SAMPLES
        return heard + (FLUSH_STEPS if self._ended else 0)

    def step(self, leg: int) -> ev.Event:
        """The next output. Most deltas are empty."""
        count = len(self._deltas)
        if count < self._due:
            self._deltas.append(f" {len(self.turns)}.{count}" if count % 3 == 0 else "")
            return ev.DeltaReceived(leg, Text.of(self._deltas[-1]))
        self._running = False
        self.texts.append("".join(self._deltas))
        return ev.TurnTranscribed(leg, Text.of(self.texts[-1]), Usage(39, count, 39 + count))


class Simulation:
    """Runs a client's script to the end. A schedule of numbers decides who moves next, so any order can be tried."""

    def __init__(self, limits: SessionLimits, script: Sequence[ev.Event]) -> None:
        self.limits = limits
        self.session = Session(limits, ("voxtral",))
        self.model = ReferenceModel()
        self.grammar = Grammar()
        self.effects: list[ef.Effect] = []
        self.now = 0.0
        self.held: deque[Audio] = deque()
        self.end: ef.EndSession | None = None
        self._script = deque(script)
        self._opening: deque[int] = deque()
        self._blocked = False
        self._do(None, self.session.open(self.now))

    def run(self, schedule: Iterable[int] = ()) -> None:
        """Follow the schedule, then let everyone move in turn until nothing is left to do."""
        for number in schedule:
            self._move(number)
        number = 0
        while self._move(number):
            number += 1
        if self._blocked:
            self._toggle_client()

    def _move(self, number: int) -> bool:
        moves = self._moves()
        if moves:
            moves[number % len(moves)]()
        return bool(moves)

    def _moves(self) -> list[Callable[[], None]]:
        if self.end is not None:
            return []
        moves: list[Callable[[], None]] = []
        if self._script and not self.grammar.paused:
            moves.append(lambda: self._give(self._script.popleft()))
        if self._opening:
            moves.append(lambda: self._give(ev.LegOpened(self._opening.popleft())))
        if self.model.has_output:
            moves.append(lambda: self._give(self.model.step(self.grammar.leg)))
        # These two change nothing by themselves: they are no moves when there is no other.
        if moves:
            moves.append(self._toggle_client)
            if not self.model.has_output and not self._opening:
                moves.append(self._wait)
        return moves

    def _toggle_client(self) -> None:
        self._blocked = not self._blocked
        self._give(ev.ClientBlocked() if self._blocked else ev.ClientUnblocked())

    def _wait(self) -> None:
        """Nothing happens for a long time. The model has done all it can, so this must not count as its stall."""
        self.now += 60
        self._give(ev.TimerFired())

    def _give(self, event: ev.Event) -> None:
        if isinstance(event, ev.AudioReceived):
            self.held.append(event.audio)
        self.now += 0.001
        self._do(event, give(self.session, event, self.now))

    def _do(self, event: ev.Event | None, effects: list[ef.Effect]) -> None:
        self.session.check()
        self.grammar.observe(event, effects)
        self.effects += effects
        for effect in effects:
            match effect:
                case ef.OpenLeg(leg):
                    self._opening.append(leg)
                case ef.StartTurn():
                    self.model.start_turn()
                case ef.SendAudio(_, audio):
                    assert audio is self.held.popleft(), "audio is sent in the order in which it came"
                    self.model.send_audio(audio)
                case ef.EndTurn():
                    self.model.end_turn()
                case ef.EndSession():
                    self.end = effect
