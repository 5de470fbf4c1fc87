"""A session whose legs and client are lost at random: speech that can be checked word by word, and who hears it."""

import binascii
import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hypothesis import event as note

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import DropReason, Gap, Notice, Recovered, Resumed, TextRevised, TurnFailed
from parley.core.profile import VOXTRAL
from parley.core.session import Session
from parley.core.usage import Usage

from .builders import FRAME
from .grammar import Grammar
from .simulation import FIRST_DELTA_SAMPLES, FLUSH_STEPS

_FORGETS_FRAMES = VOXTRAL.settle_frames
CRASHED = ParleyError("upstream-closed", "It closed with code 1006.")


# ---- speech


@dataclass(frozen=True)
class Speech:
    """One turn: pauses and words in frames, in turn, the first a pause; and how its audio is cut, in samples."""

    lengths: tuple[int, ...]
    cuts: tuple[int, ...] = (1_600,)

    def frames(self, first_word: int) -> list[int]:
        """A number for each frame: 0 is silence, 2n a part of word n, 2n + 1 its end."""
        values: list[int] = []
        word = first_word
        for place, length in enumerate(self.lengths):
            if place % 2 and length:
                values += [2 * word] * (length - 1) + [2 * word + 1]
                word += 1
            elif not place % 2:
                values += [0] * length
        return values

    def pieces(self, first_word: int) -> Iterator[Audio]:
        """Its audio: each sample has its frame's number."""
        samples = [value for value in self.frames(first_word) for _ in range(FRAME)]
        start, number = 0, 0
        while start < len(samples):
            piece = samples[start : start + self.cuts[number % len(self.cuts)]]
            yield Audio(binascii.b2a_base64(struct.pack(f"<{len(piece)}H", *piece), newline=False), len(piece))
            start, number = start + len(piece), number + 1


def samples_of(audio: Audio) -> array[int]:
    """The samples of a piece."""
    return array("H", binascii.a2b_base64(audio.payload))


class Hearing:
    """What a model says, frame by frame: a word at its end, spelled by how many it said since it was last silent."""

    def __init__(self) -> None:
        self._words = 0
        self._silent = 0

    def say(self, value: int) -> str:
        """What is said of a frame."""
        if not value % 2:
            self._silent += 1
            if self._silent >= _FORGETS_FRAMES:
                self._words = 0
            return ""
        self._silent = 0
        self._words += 1
        return f" {'vwxyz'[self._words % 5]}{value // 2}"


def transcript(frames: Iterable[int]) -> str:
    """What is said of a whole turn by one who heard it from its beginning."""
    hearing = Hearing()
    return "".join(map(hearing.say, frames))


def steps_of(samples: int) -> int:
    """How many deltas a whole turn has."""
    heard = 0 if samples < FIRST_DELTA_SAMPLES else 1 + (samples - FIRST_DELTA_SAMPLES) // FRAME
    return heard + FLUSH_STEPS


class Model:
    """The model server of one leg."""

    def __init__(self, mute_after: int | None = None) -> None:
        self._mute_after = mute_after
        self._running = False
        self._ended = False
        self.is_blocked = False

    def start_turn(self) -> None:
        """`commit`."""
        assert not self._running
        self._running, self._ended = True, False
        self._audio = array("H")
        self._hearing = Hearing()
        self._said: list[str] = []

    def send_audio(self, audio: Audio) -> None:
        """`append`."""
        assert self._running
        assert not self._ended
        samples = samples_of(audio)
        assert len(samples) == audio.samples
        self._audio += samples

    def end_turn(self) -> None:
        """`commit` with `final`."""
        assert not self._ended
        self._ended = True

    @property
    def has_output(self) -> bool:
        """Whether there is a delta or a done to be had from the audio so far."""
        return self._running and (self._ended or len(self._said) < self._due)

    @property
    def _due(self) -> int:
        steps = steps_of(len(self._audio))
        return steps if self._ended else steps - FLUSH_STEPS

    def step(self, leg: int) -> ev.Event:
        """The next output."""
        count = len(self._said)
        if count < self._due:
            middle = count * FRAME + FRAME // 2
            word = self._hearing.say(self._audio[middle] if middle < len(self._audio) else 0)
            if self._mute_after is not None and count >= self._mute_after:
                word = ""
            self._said.append(word)
            return ev.DeltaReceived(leg, Text.of(word))
        self._running = False
        return ev.TurnTranscribed(leg, Text.of("".join(self._said)), Usage(39, count, 39 + count))


# ---- the client


@dataclass
class Listener:
    """A client: what it sends, and what it has been told."""

    script: Sequence[ev.ClientEvent]
    opts_in: bool
    sent: int = 0
    counted_from: int = 0
    seq: int = 0
    got: list[ef.Effect] = field(default_factory=list)

    def forget(self, count: int, acknowledged: int) -> None:
        """The last events were under way when the connection was lost."""
        while count and self.seq > acknowledged:
            last = self.got.pop()
            self.seq -= bool(getattr(last, "seq", 0))
            count -= 1

    def take(self, effect: ef.Effect) -> None:
        """Something was told."""
        seq = getattr(effect, "seq", 0)
        if seq:
            assert seq == self.seq + 1, "each event comes once and in order"
            self.seq = seq
        if isinstance(effect, ef.SendNotice) and isinstance(effect.notice, Resumed):
            self.sent = self.counted_from + effect.notice.inputs
        self.got.append(effect)

    def heard(self) -> list["Heard"]:
        """Each turn that came to an end."""
        turns: list[Heard] = []
        texts: dict[int, str] = {}
        for effect in self.got:
            match effect:
                case ef.SendDelta(text, item=item):
                    texts[item] = texts.get(item, "") + text.decode()
                case ef.SendNotice(TextRevised(item=item, start=start, end=end, text=text)):
                    old = texts.get(item, "")
                    assert 0 <= start <= end <= len(old), "a revision is of text that was sent"
                    texts[item] = old[:start] + text.decode() + old[end:]
                case ef.SendDone(text, usage, item=item):
                    turns.append(Heard(texts.pop(item, ""), text.decode(), usage))
                case ef.SendNotice(TurnFailed(item=item)):
                    texts.pop(item, "")
                    turns.append(Heard("", None, Usage()))
                case ef.SendError(error) if error.code == "turn-failed":
                    texts.clear()
                    turns.append(Heard("", None, Usage()))
                case _:
                    pass
        return turns

    def missed(self) -> list[tuple[int, int]]:
        """The intervals whose words may be missing, as the client was told."""
        return [
            interval
            for effect in self.got
            if isinstance(effect, ef.SendNotice) and isinstance(effect.notice, Recovered | Resumed)
            for interval in effect.notice.lost
        ]

    def gaps(self, reason: DropReason) -> list[tuple[int, int]]:
        """The intervals that were dropped for a reason, as the client was told."""
        return [
            effect.notice.interval
            for effect in self.got
            if isinstance(effect, ef.SendNotice) and isinstance(effect.notice, Gap) and effect.notice.reason is reason
        ]


@dataclass(frozen=True)
class Heard:
    """A turn as the client knows it: its deltas, with revisions; and its end, None when it failed."""

    text: str
    final: str | None
    usage: Usage


# ---- all together


@dataclass(frozen=True)
class Fate:
    """What happens to whom: how many times legs are lost and clients gone, and whether a model goes mute."""

    losses: int = 0
    departures: int = 0
    rotations: int = 0
    mute_after: int | None = None


class Ordeal:
    """Runs speeches to their end. A schedule of numbers decides what happens next, so any order can be tried."""

    def __init__(
        self, limits: SessionLimits, speeches: Sequence[Speech], fate: Fate, *, opts_in: bool, is_short: bool = False
    ) -> None:
        self.session = Session(limits, ("voxtral",), jitter=0.0)
        self.grammar = Grammar()
        self.effects: list[ef.Effect] = []
        self.deadlines: list[float | None] = []
        self.end: ef.EndSession | None = None
        self.frames: list[list[int]] = []
        self.was_blocked = False
        self.held_bytes_max = 0
        self.now = 0.0
        self._fate = fate
        self._losses, self._departures, self._rotations = fate.losses, fate.departures, fate.rotations
        self._is_short = is_short
        self._models: dict[int, Model] = {}
        self._opening: deque[int] = deque()
        self._measured: deque[ev.SpeechMeasured] = deque()
        self._is_blocked = False
        self._acknowledged = 0
        self.client = Listener(self._script(speeches, opts_in=opts_in), opts_in)
        self.client.counted_from = 2 if opts_in else 1
        self._generation = 1
        self._do(None, self.session.open(self.now))

    def _script(self, speeches: Sequence[Speech], *, opts_in: bool) -> list[ev.ClientEvent]:
        script: list[ev.ClientEvent] = [ev.ModelNamed("voxtral")]
        if opts_in:
            script.append(ev.ResumeEnabled())
        word = 1
        for speech in speeches:
            self.frames.append(speech.frames(word))
            script += [ev.TurnStarted(), *map(ev.AudioReceived, speech.pieces(word)), ev.TurnEnded()]
            word += len(speech.lengths)
        return script

    # ---- moves

    def run(self, schedule: Iterable[int]) -> None:
        """Follow the schedule; then nobody is lost any more, and all move until nothing is left to do."""
        for number in schedule:
            moves = self._moves()
            if moves:
                moves[number % len(moves)]()
        self._losses = self._departures = self._rotations = 0
        for _ in range(100_000):
            if self._is_blocked:
                self._toggle_client()
            moves = self._steady_moves() or self._waits()
            if not moves:
                return
            moves[0]()
        raise AssertionError("it never ends")

    def run_unread(self) -> None:
        """All but the client's reading goes on, in turn, until nothing is left to do."""
        self._toggle_client()
        number = 0
        while moves := self._steady_moves():
            moves[number % len(moves)]()
            number += 1

    def _moves(self) -> list[Callable[[], None]]:
        if self.end is not None:
            return []
        steady = self._steady_moves()
        moves = steady * 3 + self._waits()
        if not moves:
            return []
        if self.session.is_attached:
            moves += [self._toggle_client, self._acknowledge]
        if self._losses:
            # A session whose very first leg can't be had ends at once.
            losable = [leg for leg in self._models if leg > 1 or leg not in self._opening]
            moves += [lambda leg=leg: self._lose(leg) for leg in losable]  # type: ignore[misc]
        moves += [lambda leg=leg: self._toggle_leg(leg) for leg in self._models if leg not in self._opening]  # type: ignore[misc]
        if self._departures and self.session.is_attached and self.client.opts_in and self.client.sent > 2:
            moves.append(self._depart)
        if self._rotations:
            moves.append(self._ask)
        return moves

    def _steady_moves(self) -> list[Callable[[], None]]:
        """What goes on when nothing is lost."""
        if self.end is not None:
            return []
        moves: list[Callable[[], None]] = []
        if not self.session.is_attached:
            moves.append(self._return)
        elif self.client.sent < len(self.client.script) and not self.grammar.paused:
            moves.append(self._send)
        if self._opening:
            moves.append(self._open)
        if self._measured:
            moves.append(lambda: self._give(self._measured.popleft()))
        for leg, model in list(self._models.items()):
            if model.is_blocked:
                moves.append(lambda leg=leg: self._toggle_leg(leg))  # type: ignore[misc]
            if model.has_output:
                moves.append(lambda leg=leg, model=model: self._give(model.step(leg)))  # type: ignore[misc]
        return moves

    def _waits(self) -> list[Callable[[], None]]:
        """Time passes when everyone has done what there was to do."""
        deadline = self.session.next_deadline()
        busy = any(model.has_output or model.is_blocked for model in self._models.values())
        if self.end is not None or deadline is None or busy or self._opening or not self.session.is_attached:
            return []
        if self.client.sent >= len(self.client.script) and any(leg for leg in self._models):
            return []
        return [lambda: self._wait(deadline)]

    def _wait(self, deadline: float) -> None:
        self.now = max(self.now, deadline)
        self._give(ev.TimerFired())

    def _send(self) -> None:
        event = self.client.script[self.client.sent]
        self.client.sent += 1
        self._give(event)

    def _open(self) -> None:
        self._give(ev.LegOpened(self._opening.popleft()))

    def _lose(self, leg: int) -> None:
        self._losses -= 1
        self._give(ev.LegFailed(leg, CRASHED))

    def _toggle_leg(self, leg: int) -> None:
        model = self._models[leg]
        model.is_blocked = not model.is_blocked
        self._give(ev.LegBlocked(leg) if model.is_blocked else ev.LegUnblocked(leg))

    def _toggle_client(self) -> None:
        self._is_blocked = not self._is_blocked
        self.was_blocked = True
        self._give(ev.ClientBlocked() if self._is_blocked else ev.ClientUnblocked())

    def _acknowledge(self) -> None:
        if self.client.opts_in:
            self._acknowledged = self.client.seq
            self._give(ev.OutputAcked(self.client.seq))

    def _ask(self) -> None:
        self._rotations -= 1
        self._give(ev.RotationAsked())

    def _depart(self) -> None:
        self._departures -= 1
        self._is_blocked = False
        self._give(ev.ClientClosed())
        self.client.forget(self._departures % 3, self._acknowledged)

    def _return(self) -> None:
        self._generation += 1
        self._give(ev.ResumeRequested(self._generation, self.client.seq))

    # ---- the session

    def _give(self, event: ev.Event) -> None:
        self.now += 0.001
        self._do(event, self._handled(event))

    def _handled(self, event: ev.Event) -> list[ef.Effect]:
        session = self.session
        if self._is_short and isinstance(event, ev.AudioReceived):
            leg = max((leg for leg in self._models if leg not in self._opening), default=0)
            if session.take_audio(event.audio, session.generation, self.now):
                return [ef.SendAudio(leg, event.audio)]
        if self._is_short and isinstance(event, ev.DeltaReceived):
            is_wanted = session.take_delta(event.leg, event.text, self.now)
            if is_wanted is not None:
                return [ef.SendDelta(event.text)] if is_wanted else []
        if isinstance(event, ev.ClientEvent):
            return session.handle_client(event, session.generation, self.now)
        return session.handle(event, self.now)

    def _do(self, event: ev.Event | None, effects: list[ef.Effect]) -> None:
        self.session.check()
        self.held_bytes_max = max(self.held_bytes_max, self.session.held_bytes)
        self.grammar.observe(event, effects)
        self.effects += effects
        self.deadlines.append(self.session.next_deadline())
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: ef.Effect) -> None:
        match effect:
            case ef.OpenLeg(leg):
                first = leg == 1 or self._fate.mute_after is None
                self._models[leg] = Model(self._fate.mute_after if first else None)
                self._opening.append(leg)
            case ef.CloseLeg(leg):
                del self._models[leg]
                if leg in self._opening:
                    self._opening.remove(leg)
            case ef.StartTurn(leg):
                self._models[leg].start_turn()
            case ef.SendAudio(leg, audio):
                self._models[leg].send_audio(audio)
            case ef.EndTurn(leg):
                self._models[leg].end_turn()
            case ef.MeasureSpeech(leg, pieces):
                speech = sum(sum(map(bool, samples_of(piece))) for piece in pieces)
                self._measured.append(ev.SpeechMeasured(leg, speech))
            case ef.SendDelta() | ef.SendDone() | ef.SendError() | ef.SendNotice():
                self.client.take(effect)
            case ef.EndSession():
                self.end = effect
            case _:
                pass


def heard_as_from_one_model(ordeal: Ordeal, talks: Sequence[Speech]) -> list[Notice]:
    """Check that the client heard every turn that did not fail, and nothing changed; what it was told beside."""
    assert ordeal.end is None
    heard = ordeal.client.heard()
    assert len(heard) == len(talks)
    for turn, frames in zip(heard, ordeal.frames, strict=True):
        if turn.final is None:
            note("a turn failed")
            continue
        reference = transcript(frames)
        assert (turn.text, turn.final) == (reference, reference)
        assert turn.usage.completion_tokens == steps_of(len(frames) * FRAME)
    notices = [effect.notice for effect in ordeal.effects if isinstance(effect, ef.SendNotice)]
    assert not any(isinstance(notice, TextRevised) for notice in notices), "nothing changed"
    return notices
