"""A session from a state: one that holds is gone on with, any other refused, also where assertions are switched off."""

import base64
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.limits import SessionLimits
from parley.core.profile import VOXTRAL
from parley.core.session import Session
from parley.core.snapshot import (
    JournalState,
    OutputKind,
    OutputState,
    RecoveryState,
    SessionState,
    StateError,
    TranscriptState,
    TurnState,
)

from .builders import FRAME, SECOND, audio, fails, give, says, transcribed

WORD = Text.of(" word")
PIECE = Audio(base64.b64encode(bytes(2 * FRAME)), FRAME)
"""What can be cut anywhere, as a replay may do."""
TURN = TurnState(
    item=2,
    begin=SECOND,
    started=True,
    fed=4 * FRAME,
    replay_point=FRAME,
    furthest=FRAME,
    failures=1,
    top=2 * FRAME,
    transcript=TranscriptState(((FRAME, WORD),), ((2 * FRAME, WORD),), 0, 2 * FRAME, 0, False, 5),
    journal=JournalState(1, FRAME, (PIECE,) * 5),
    holes=((2 * FRAME, 2 * FRAME, 100),),
)
LOSS = RecoveryState(3 * FRAME, "upstream-closed", had_leg=True, replayed_from=FRAME, lost=((0, 5),))
STATE = SessionState(
    inputs=9,
    cursor=SECOND + 6 * FRAME + 100,
    acknowledged=2,
    items=2,
    model_named=True,
    sent=(OutputState(OutputKind.DELTA, 3, 2, WORD), OutputState(OutputKind.RECOVERING, 4, code="upstream-closed")),
    waiting=(OutputState(OutputKind.DELTA, 0, 2, WORD), OutputState(OutputKind.CLEARED, item=1)),
    turns=(TURN,),
    recovery=LOSS,
    restored=((0, 5),),
    mutes=1,
)
BROKEN = replace(STATE, turns=(replace(TURN, replay_point=5 * FRAME),))
RUN_MAX_S = 60.0


def restored(state: SessionState) -> Session:
    return Session.restored(state, SessionLimits(), ("voxtral",), VOXTRAL, 0.0, jitter=0.0)


def test_a_session_goes_on_from_a_state_that_holds() -> None:
    session = restored(STATE)
    session.check()
    assert session.state(0.0).turns == STATE.turns


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (BROKEN, "what is replayed was sent"),
        (replace(STATE, cursor=SECOND), "the audio of turns is counted"),
        (replace(STATE, cursor=STATE.cursor + 1), "all audio is in its turn or dropped from it"),
        (replace(STATE, inputs=-1), "counts are not below 0"),
        (replace(STATE, items=1), "turns are numbered as they came"),
        (replace(STATE, turns=(TURN, TurnState(3, STATE.cursor)), items=3), "only the last turn is open"),
        (replace(STATE, recovery=replace(LOSS, position=5 * FRAME)), "what is recovered was sent"),
        (replace(STATE, turns=(TurnState(1, 0, started=True),)), "what is recovered is the turn at work"),
        (replace(STATE, acknowledged=-1, sent=()), "numbers begin with 1"),
        (replace(STATE, mutes=-1), "mutes are counted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_none_goes_on_from_one_that_does_not(state: SessionState, why: str) -> None:
    with pytest.raises(StateError, match=why):
        restored(state)


def test_none_does_where_assertions_are_switched_off() -> None:
    program = (
        "assert False\n"
        "from tests.core.test_session_restored import BROKEN, STATE, StateError, restored\n"
        "restored(STATE)\n"
        "try:\n"
        "    restored(BROKEN)\n"
        "except StateError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, timeout=RUN_MAX_S, check=False
    )
    assert (done.stdout, done.stderr) == ("it does not hold that what is replayed was sent\n", "")


# ---- whatever is wrong with it

numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40), st.sampled_from([FRAME, 2 * FRAME, SECOND]))
changes = st.one_of(
    st.tuples(st.sampled_from(["inputs", "cursor", "acknowledged", "items", "errors", "mutes"]), numbers),
    st.tuples(
        st.sampled_from(
            [f"turn.{name}" for name in ("item", "begin", "fed", "replay_point", "furthest", "failures", "top")]
        ),
        numbers,
    ),
    st.tuples(st.sampled_from([f"turn.{name}" for name in ("started", "closed", "given_up")]), st.booleans()),
    st.tuples(st.sampled_from(["recovery.position", "recovery.replayed_from"]), numbers),
    st.tuples(st.sampled_from(["journal.first", "journal.start"]), numbers),
    st.tuples(
        st.sampled_from([f"transcript.{name}" for name in ("dropped", "last_position", "from_position")]), numbers
    ),
)


def changed(state: SessionState, name: str, value: object) -> SessionState:
    """The same state with a field that is not what it was."""
    part, _, field = name.rpartition(".")
    (turn, *_), wrong = state.turns, {field: value}
    match part:
        case "":
            return replace(state, **wrong)  # type: ignore[arg-type]
        case "recovery":
            return replace(state, recovery=replace(state.recovery or LOSS, **wrong))  # type: ignore[arg-type]
        case "journal":
            turn = replace(turn, journal=replace(turn.journal, **wrong))  # type: ignore[arg-type]
        case "transcript":
            turn = replace(turn, transcript=replace(turn.transcript, **wrong))  # type: ignore[arg-type]
        case _:
            turn = replace(turn, **wrong)  # type: ignore[arg-type]
    return replace(state, turns=(turn,))


@given(st.lists(changes, min_size=1, max_size=3), st.booleans())
def test_a_state_is_refused_or_what_goes_on_from_it_works(wrong: list[tuple[str, object]], is_lost: bool) -> None:
    state = STATE if is_lost else replace(STATE, recovery=None)
    for name, value in wrong:
        if is_lost or not name.startswith("recovery"):
            state = changed(state, name, value)
    try:
        session = restored(state)
    except StateError:
        return
    session.open(0.0)
    events: list[ev.Event] = [
        ev.ResumeRequested(2, 4),
        ev.LegOpened(1),
        says(" word"),
        *[says("")] * 14,
        ev.AudioReceived(audio(samples=SECOND)),
        fails(),
        ev.LegOpened(2),
        says(" more", 2),
        ev.TurnEnded(),
        *[says("", 2)] * 40,
        transcribed(" more", 2),
        ev.ClientClosed(),
        ev.TimerFired(),
    ]
    for event in events:
        give(session, event, 1.0)
        session.check()
    session.state(1.0)
