"""What holds for the session whatever happens, in any order: tried on scripts that nobody thought of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import AtBound, SessionLimits
from parley.core.session import Session
from parley.core.usage import Usage

from .builders import AnError, give, heard, turn
from .grammar import Grammar
from .simulation import Simulation

# ---- any event in any state


@dataclass(frozen=True)
class Step:
    """Something that happens `after_s` seconds later; `make` gets the newest leg's number and the time."""

    after_s: float
    make: Callable[[int, float], ev.Event]
    name: str

    def __repr__(self) -> str:
        return f"{self.name} after {self.after_s} s"


Makers = st.SearchStrategy[Callable[[int, float], ev.Event]]


def _sized(samples: int) -> ev.Event:
    return ev.AudioReceived(Audio(b"x" * min(samples, 5_000), samples))


samples = st.sampled_from([1, 320, 1_280, 1_600, 8_100, 16_000, 40_000, 2_000_000])
texts = st.sampled_from([Text(b'""'), Text.of(" word"), Text.of("long " * 60)])
stale = st.sampled_from([0, 0, 0, 0, 0, 1, -1, 2])


def _on_leg(make: Callable[..., ev.Event], *values: st.SearchStrategy[object]) -> Makers:
    return st.builds(
        lambda back, *drawn: lambda leg, _now: make(leg - back, *drawn),
        stale,
        *values,
    )


def _anywhere(make: Callable[..., ev.Event], *values: st.SearchStrategy[object]) -> Makers:
    return st.builds(lambda *drawn: lambda _leg, _now: make(*drawn), *values)


MAKERS: dict[str, Makers] = {
    "AudioReceived": _anywhere(_sized, samples),
    "TurnStarted": _anywhere(ev.TurnStarted),
    "TurnEnded": _anywhere(ev.TurnEnded),
    "ModelNamed": _anywhere(ev.ModelNamed, st.sampled_from(["", "voxtral", "other"])),
    "InputRejected": _anywhere(ev.InputRejected, st.just(ParleyError("invalid-json"))),
    "ClientBlocked": _anywhere(ev.ClientBlocked),
    "ClientUnblocked": _anywhere(ev.ClientUnblocked),
    "InputFinished": _anywhere(ev.InputFinished),
    "ClientClosed": _anywhere(ev.ClientClosed),
    "LegOpened": _on_leg(ev.LegOpened),
    "LegFailed": _on_leg(ev.LegFailed, st.just(ParleyError("upstream-closed"))),
    "LegBlocked": _on_leg(ev.LegBlocked),
    "LegUnblocked": _on_leg(ev.LegUnblocked),
    "DeltaReceived": _on_leg(ev.DeltaReceived, texts),
    "TurnTranscribed": _on_leg(ev.TurnTranscribed, texts, st.just(Usage())),
    "DrainStarted": st.builds(
        lambda wait: lambda _leg, now: ev.DrainStarted(now + wait), st.sampled_from([0.0, 1.0, 9.0])
    ),
    "TimerFired": _anywhere(ev.TimerFired),
}
_COMMON = ["AudioReceived", "TurnStarted", "TurnEnded", "LegOpened", "DeltaReceived", "TurnTranscribed", "TimerFired"]
_ANY_NAME = st.sampled_from(sorted(MAKERS)) | st.sampled_from(_COMMON)
_PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 6.0, 16.0])

steps = _ANY_NAME.flatmap(lambda name: st.builds(Step, _PAUSES, MAKERS[name], st.just(name)))
openings = st.sampled_from([0, 1, 3, 4])
OPENING = [
    Step(0.0, lambda _leg, _now: ev.ModelNamed("voxtral"), "ModelNamed"),
    Step(0.0, lambda leg, _now: ev.LegOpened(leg), "LegOpened"),
    Step(0.0, lambda _leg, _now: ev.TurnStarted(), "TurnStarted"),
    Step(0.0, lambda _leg, _now: _sized(1_600), "AudioReceived"),
]
scripts = st.builds(lambda count, tail: OPENING[:count] + tail, openings, st.lists(steps, max_size=50))
bounds = st.builds(
    SessionLimits,
    pace_window_s=st.sampled_from([0.0, 1.0, 3.0]),
    held_audio_max_s=st.sampled_from([0.5, 3.0, 120.0]),
    held_turns_max=st.sampled_from([1, 3, 32]),
    output_max_bytes=st.sampled_from([100, 2_000, 262_144]),
    client_errors_max=st.sampled_from([0, 3]),
    forward_empty_deltas=st.booleans(),
    input_policy=st.sampled_from(AtBound),
    output_policy=st.sampled_from(AtBound),
)

Trace = list[tuple[ev.Event | None, list[ef.Effect]]]


def handle(session: Session, event: ev.Event, _leg: int, now: float) -> list[ef.Effect]:
    """The way in for every event."""
    return give(session, event, now)


def take(session: Session, event: ev.Event, leg: int, now: float) -> list[ef.Effect]:
    """The short way in for audio and deltas, where it is open."""
    if isinstance(event, ev.AudioReceived) and session.take_audio(event.audio, session.generation, now):
        return [ef.SendAudio(leg, event.audio)]
    if isinstance(event, ev.DeltaReceived):
        is_wanted = session.take_delta(event.leg, event.text, now)
        if is_wanted is not None:
            return [ef.SendDelta(event.text)] if is_wanted else []
    return give(session, event, now)


def play(
    limits: SessionLimits,
    script: list[Step],
    *,
    give: Callable[[Session, ev.Event, int, float], list[ef.Effect]] = handle,
    heeds_pauses: bool = False,
    deadlines: list[float | None] | None = None,
) -> Trace:
    """Every event with its effects, the grammar and the invariants checked after each."""
    session, grammar, now = Session(limits, ("voxtral",)), Grammar(), 0.0
    trace: Trace = [(None, session.open(now))]
    grammar.observe(*trace[0])
    for step in script:
        now += step.after_s
        event = step.make(grammar.leg, now)
        if heeds_pauses and grammar.paused and isinstance(event, ev.AudioReceived):
            continue
        effects = give(session, event, grammar.leg, now)
        session.check()
        grammar.observe(event, effects)
        if deadlines is not None:
            deadlines.append(session.next_deadline())
        assert session.ended == grammar.ended, "a session ends by saying so"
        trace.append((event, effects))
    note("ended" if grammar.ended else "alive")
    return trace


@settings(max_examples=200)
@given(bounds, scripts)
def test_no_events_in_any_order_break_the_session_or_the_protocol(limits: SessionLimits, script: list[Step]) -> None:
    play(limits, script)


@settings(max_examples=50)
@given(bounds, scripts)
def test_the_same_events_have_the_same_effects(limits: SessionLimits, script: list[Step]) -> None:
    first, second = ([effects for _, effects in play(limits, script)] for _ in range(2))
    assert _comparable(first) == _comparable(second)


@settings(max_examples=150)
@given(bounds, scripts)
def test_the_short_way_in_makes_no_difference(limits: SessionLimits, script: list[Step]) -> None:
    deadlines: tuple[list[float | None], list[float | None]] = ([], [])
    long, short = (
        [effects for _, effects in play(limits, script, give=give, deadlines=noted)]
        for give, noted in zip((handle, take), deadlines, strict=True)
    )
    assert _comparable(long) == _comparable(short)
    assert deadlines[0] == deadlines[1]


def _comparable(effects: list[list[ef.Effect]]) -> list[list[object]]:
    def plain(effect: ef.Effect) -> object:
        if isinstance(effect, ef.EndSession | ef.SendError) and effect.error is not None:
            return type(effect), AnError(effect.error.code, effect.error.detail)
        return effect

    return [[plain(effect) for effect in batch] for batch in effects]


@settings(max_examples=150)
@given(bounds, scripts)
def test_audio_held_for_a_client_that_heeds_pauses_is_bounded(limits: SessionLimits, script: list[Step]) -> None:
    limits = replace(limits, input_policy=AtBound.BLOCK)
    pieces: list[Audio] = []
    sent = 0
    for event, effects in play(limits, script, heeds_pauses=True):
        # What was never started is let go with the end of the input.
        if isinstance(event, ev.InputFinished) or any(isinstance(effect, ef.EndSession) for effect in effects):
            break
        if isinstance(event, ev.AudioReceived):
            pieces.append(event.audio)
        sent += sum(isinstance(effect, ef.SendAudio) for effect in effects)
        # All but the last piece: it is what reached the bound.
        held = pieces[sent:-1]
        assert sum(audio.samples for audio in held) <= limits.held_samples_max
        assert sum(len(audio.payload) for audio in held) <= limits.held_bytes_max


@settings(max_examples=100)
@given(bounds, scripts)
def test_results_held_for_a_client_that_does_not_read_are_bounded(limits: SessionLimits, script: list[Step]) -> None:
    limits = replace(limits, output_policy=AtBound.TERMINATE)
    longest = len(Text.of("long " * 60).literal)
    for _, effects in play(limits, script):
        results = [effect.text.literal for effect in effects if isinstance(effect, ef.SendDelta | ef.SendDone)]
        assert sum(map(len, results)) <= limits.output_max_bytes + longest


# ---- a model server that does its part


@dataclass(frozen=True)
class Talk:
    """One turn of a client: its pieces' lengths in samples, and whether it sends them before it starts the turn."""

    pieces: list[int]
    is_buffered: bool = False


def script_of(talks: list[Talk]) -> list[ev.Event]:
    """What a client sends that waits for nothing. Every piece has its own payload."""
    events: list[ev.Event] = [ev.ModelNamed("voxtral")]
    for number, talk in enumerate(talks):
        sound: list[ev.Event] = [
            ev.AudioReceived(Audio(b"%d.%d" % (number, place), size)) for place, size in enumerate(talk.pieces)
        ]
        if talk.is_buffered:
            events += [*sound, ev.TurnEnded(), ev.TurnStarted()]
        else:
            events += [ev.TurnStarted(), *sound, ev.TurnEnded()]
    return events


piece_sizes = st.sampled_from([1, 320, 1_280, 1_600, 8_100, 16_000])
live_talks = st.builds(Talk, st.lists(piece_sizes, max_size=25))
buffered_talks = st.builds(Talk, st.lists(piece_sizes, min_size=1, max_size=25), st.just(True))
schedules = st.lists(st.integers(0, 11), max_size=60)
held_bounds = st.sampled_from([0.5, 2.0, 120.0])
windows = st.sampled_from([0.0, 1.0, 3.0])


def served(simulation: Simulation, talks: list[Talk]) -> None:
    """Assert that each turn was sent whole, once and in order, and answered with its own text."""
    spoken = [talk for talk in talks if talk.pieces]
    payloads = [[audio.payload for audio in turn] for turn in simulation.model.turns]
    numbers = [number for number, talk in enumerate(talks) if talk.pieces]
    assert payloads == [
        [b"%d.%d" % (number, place) for place in range(len(talk.pieces))]
        for number, talk in zip(numbers, spoken, strict=True)
    ]
    texts = iter(simulation.model.texts)
    assert transcripts(simulation.effects) == [next(texts) if talk.pieces else "" for talk in talks]


def transcripts(effects: list[ef.Effect]) -> list[str]:
    """The text of each turn as the client got it; its deltas must add up to it."""
    texts, deltas = [], ""
    for effect in effects:
        if isinstance(effect, ef.SendDelta):
            deltas += effect.text.decode()
        elif isinstance(effect, ef.SendDone):
            assert effect.text.decode() == deltas
            texts.append(deltas)
            deltas = ""
    assert deltas == ""
    return texts


@settings(max_examples=100)
@given(st.lists(live_talks, min_size=1, max_size=5), windows, held_bounds, schedules)
def test_every_turn_sent_without_waiting_is_transcribed_whatever_the_order_of_things(
    talks: list[Talk], pace_window_s: float, held_audio_max_s: float, schedule: list[int]
) -> None:
    limits = SessionLimits(pace_window_s=pace_window_s, held_audio_max_s=held_audio_max_s)
    simulation = Simulation(limits, script_of(talks))
    simulation.run(schedule)
    assert simulation.end is None
    served(simulation, talks)


@settings(max_examples=100)
@given(st.lists(live_talks | buffered_talks, min_size=1, max_size=5), windows, held_bounds, schedules)
def test_a_turn_sent_before_its_start_is_transcribed_or_refused_but_never_left_hanging(
    talks: list[Talk], pace_window_s: float, held_audio_max_s: float, schedule: list[int]
) -> None:
    limits = SessionLimits(pace_window_s=pace_window_s, held_audio_max_s=held_audio_max_s)
    simulation = Simulation(limits, script_of(talks))
    simulation.run(schedule)
    if simulation.end is None:
        served(simulation, talks)
        return
    assert simulation.end == ef.EndSession(AnError("input-overflow", f"It may hold {held_audio_max_s:g} s."))
    assert sum(audio.samples for audio in simulation.held) > limits.held_samples_max


@settings(max_examples=100)
@given(
    st.binary(min_size=1, max_size=2_000),
    st.lists(st.lists(st.integers(0, 1_999), max_size=12), min_size=2, max_size=2),
    schedules,
)
def test_how_the_audio_was_cut_makes_no_difference_to_what_the_model_gets(
    sound: bytes, cuts: list[list[int]], schedule: list[int]
) -> None:
    heard = []
    for places in cuts:
        edges = sorted({0, len(sound), *(place % len(sound) for place in places)})
        pieces = [Audio(sound[a:b], (b - a) * 40) for a, b in pairwise(edges)]
        simulation = Simulation(SessionLimits(held_audio_max_s=1.0), [ev.ModelNamed(""), *turn(*pieces)])
        simulation.run(schedule)
        assert [len(turn) for turn in simulation.model.turns] == [len(pieces)]
        heard.append(b"".join(audio.payload for audio in simulation.model.turns[0]))
    assert heard == [sound, sound]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_the_pace_window_is_never_exceeded_by_more_than_one_piece(sizes: list[int]) -> None:
    lengths = [1 + size * 40 for size in sizes]
    session, ahead = Session(SessionLimits(pace_window_s=1.0)), 0
    session.open(0.0)
    opening: list[ev.Event] = [ev.ModelNamed(""), ev.LegOpened(1), ev.TurnStarted()]
    for event in [*opening, *heard(*(Audio(b"x", length) for length in lengths))]:
        effects = give(session, event, 0.0)
        ahead += sum(effect.audio.samples for effect in effects if isinstance(effect, ef.SendAudio))
    # No delta came: what was sent is what the model is behind.
    assert ahead < 16_000 + max(lengths)
    assert ahead == sum(lengths) or ahead >= 16_000
