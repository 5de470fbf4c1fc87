"""A session that goes on at another server: no word is missing, none comes twice, and every number comes once."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import VOXTRAL
from parley.core.session import Session
from parley.core.snapshot import SessionState, StoredSession

from .builders import audio
from .grammar import Grammar
from .ordeal import Fate, Ordeal, Speech, heard_as_from_one_model

pauses = st.sampled_from([0, 0, 1, 2, 5, 12, 13, 20, 40, 230])
lengths = st.lists(st.tuples(pauses, st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda pairs: tuple(length for pair in pairs for length in pair)
)
cuts = st.lists(st.sampled_from([1_280, 1_600, 8_100, 16_000]), min_size=1, max_size=4).map(tuple)
speeches = st.lists(st.builds(Speech, lengths, cuts), min_size=1, max_size=2)
schedules = st.lists(st.integers(0, 79), max_size=250)
fates = st.builds(Fate, losses=st.integers(0, 3), departures=st.integers(0, 2), rotations=st.integers(0, 1))


class MovingOrdeal(Ordeal):
    """An ordeal whose session is taken to other servers and, where a store has no room, stays."""

    def __init__(self, limits: SessionLimits, speeches: list[Speech], fate: Fate, moves: int) -> None:
        self._limits = limits
        self._moves_left = moves
        self.moves = 0
        super().__init__(limits, speeches, fate, opts_in=True)

    def run(self, schedule: list[int]) -> None:  # type: ignore[override]
        for number in schedule:
            moves = self._moves()
            if moves:
                moves[number % len(moves)]()
        self._moves_left = 0
        super().run([])

    def _moves(self) -> list[Callable[[], None]]:
        moves = super()._moves()
        if self._moves_left and self.end is None and self.client.sent > 2:
            moves += [self._move, self._move, self._stay]
        return moves

    def _ask_to_go(self) -> list[ef.Effect]:
        self._moves_left -= 1
        self._give(ev.DrainStarted(self.now + 1e6, self.now, self.now))
        return self.effects

    def _stay(self) -> None:
        self._ask_to_go()
        self._give(ev.AudioReceived(audio()))
        self._give(ev.DrainCancelled())
        self._give(ev.StateRefused(ParleyError("internal-error")))
        self.session.check()

    def _move(self) -> None:
        assert self._ask_to_go()[-1] == ef.StoreState()
        state = self.session.state(self.now)
        assert state == self.session.state(self.now), "looking changes nothing"
        told = self.grammar.seq
        self._give(ev.StateStored())
        assert self.effects[-1] == ef.LeaveSession()
        assert self.session.ended
        self.moves += 1
        self._models.clear()
        self._opening.clear()
        self._measured.clear()
        self._is_blocked = False
        self.client.forget(self.moves % 3, self._acknowledged)
        self.grammar = Grammar()
        self.grammar.seq, self.grammar.generation = told, 0
        self.now += 1_000.0
        self.session = Session.restored(state, self._limits, ("voxtral",), VOXTRAL, self.now, jitter=0.0)
        self.session.check()
        self._do(None, self.session.open(self.now))
        self.check_state(state)

    def check_state(self, state: SessionState) -> None:
        """Nothing is lost on the way; what will be decoded again is added."""
        here = self.session.state(self.now)
        added = replace(state, restored=here.restored, missed=here.missed)
        assert abs(here.lifetime.age_s - state.lifetime.age_s) < 1e-6
        assert here == replace(added, lifetime=here.lifetime)


def run(limits: SessionLimits, talks: list[Speech], fate: Fate, schedule: list[int], moves: int) -> MovingOrdeal:
    ordeal = MovingOrdeal(limits, talks, fate, moves)
    ordeal.run(schedule)
    note(f"moves: {ordeal.moves}")
    return ordeal


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1.0, 3.0]), st.sampled_from([0.0, 0.02]), speeches, fates, schedules, st.integers(1, 4))
def test_the_client_hears_what_one_model_would_have_said_wherever_its_session_goes(
    pace_window_s: float, idle_release_s: float, talks: list[Speech], fate: Fate, schedule: list[int], moves: int
) -> None:
    limits = SessionLimits(pace_window_s=pace_window_s, idle_release_s=idle_release_s)
    ordeal = run(limits, talks, fate, schedule, moves)
    heard_as_from_one_model(ordeal, talks)


def test_a_stored_session_shows_its_id_and_nothing_else() -> None:
    state = Session(SessionLimits()).state(0.0)
    stored = StoredSession(
        session_id="sess-1",
        created_s=0,
        principal="canary-7d1f",
        model="voxtral",
        frame_samples=1_280,
        expires_s=0.0,
        state=state,
    )
    assert repr(stored) == "StoredSession(session_id='sess-1')"
