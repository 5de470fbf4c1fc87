"""A session that goes on at another server: made into data here, and out of data there."""

import math

from parley.core import events as ev
from parley.core.departure import Departure
from parley.core.effects import Effect, StoreState
from parley.core.intake import Intake
from parley.core.keeping import Keeping
from parley.core.lifetime import Lifetime
from parley.core.limits import AtBound
from parley.core.outlet import Outlet
from parley.core.outputs import UnknownOutputError, output_of, output_state
from parley.core.snapshot import LifetimeState, SessionState, StateError
from parley.core.standing import Standing
from parley.core.supply import Supply
from parley.core.turns import TurnQueue


class Relocation:
    """Both ends of a move. Effects are appended to `out`. `is_new` says that the session came from elsewhere and its
    client does not know yet, `age_s` how old it was."""

    __slots__ = (
        "_departure",
        "_intake",
        "_keeping",
        "_lifetime",
        "_out",
        "_outlet",
        "_standing",
        "_supply",
        "_turns",
        "age_s",
        "is_new",
    )

    def __init__(
        self,
        departure: Departure,
        turns: TurnQueue,
        supply: Supply,
        intake: Intake,
        outlet: Outlet,
        standing: Standing,
        lifetime: Lifetime,
        out: list[Effect],
        keeping: Keeping,
    ) -> None:
        self._departure = departure
        self._turns = turns
        self._supply = supply
        self._intake = intake
        self._outlet = outlet
        self._standing = standing
        self._lifetime = lifetime
        self._out = out
        self._keeping = keeping
        self.is_new = False
        self.age_s = 0.0

    # ---- here

    def drain_started(self, event: ev.DrainStarted, now: float) -> None:
        """The server is going away."""
        self._departure.announce(event, can_move=self._outlet.is_numbered)
        self._standing.leaving(event.deadline, now, moves=self._departure.may_move)
        if not self._departure.is_under_way:
            self._supply.pump(now)

    def drain_cancelled(self) -> None:
        """It stays."""
        self._departure.cancel()
        self._standing.stays()

    def look(self, now: float) -> None:
        """Go when it is time to: what the session is will not change from here on."""
        departure, supply, outlet = self._departure, self._supply, self._outlet
        if not departure.may_move:
            return
        if departure.is_due(now, is_quiet=supply.relief.is_quiet, is_attached=self._intake.generation != 0):
            supply.leave()
            departure.begin(client_reads=outlet.is_open)
            outlet.shut()
            self._out.append(StoreState())

    def stay(self, now: float) -> None:
        """Go on here, for the state could not be stored."""
        departure = self._departure
        if not departure.is_under_way:
            return
        departure.refuse()
        if departure.client_reads and self._intake.generation:
            self._outlet.open()
            self._intake.reads_again()
            self._standing.reads_again(now)
        self._supply.stay(now)

    def state(self, now: float, *, forward_empty_deltas: bool) -> SessionState:
        """The session as data. Where its legs are is not in it: when it goes, it has none."""
        intake, outlet, supply = self._intake, self._outlet, self._supply
        inputs, cursor, model_named, errors = intake.counts()
        acknowledged, sent, waiting = outlet.kept()
        counts_otherwise, mutes = supply.learnt()
        return SessionState(
            inputs=inputs,
            cursor=cursor,
            acknowledged=acknowledged,
            items=self._turns.count,
            model_named=model_named,
            errors=errors,
            forward_empty_deltas=forward_empty_deltas,
            input_policy=intake.policy.value,
            output_policy=outlet.policy.value,
            sent=tuple(map(output_state, sent)),
            waiting=tuple(map(output_state, waiting)),
            turns=self._turns.state(),
            recovery=None if supply.losses.recovery is None else supply.losses.recovery.state(),
            restored=tuple(supply.losses.restored),
            missed=tuple(supply.losses.missed),
            counts_otherwise=counts_otherwise,
            mutes=mutes,
            lifetime=LifetimeState(now - self._lifetime.opened_at),
            retention=self._keeping.retention.value,
        )

    # ---- there

    def restore(self, state: SessionState) -> None:
        """Be the session that was elsewhere; nobody is attached.

        Raises:
            StateError: there is something in it that this release does not know, or that does not fit together. Not all
                of what may be wrong shows here: a session's invariants tell the rest.
        """
        try:
            self._restore(state)
        except (UnknownOutputError, KeyError, ValueError):
            # What they say may quote the state.
            raise StateError("there is something in it that this release can't make out") from None
        if not 0.0 <= state.lifetime.age_s < math.inf:
            raise StateError("its age is none")
        self.age_s = state.lifetime.age_s
        self.is_new = True

    def _restore(self, state: SessionState) -> None:
        intake, outlet, supply = self._intake, self._outlet, self._supply
        intake.restore(state.inputs, state.cursor, model_named=state.model_named, errors=state.errors)
        self._keeping.restore(state.retention)
        if state.input_policy:
            intake.policy = AtBound(state.input_policy)
        if state.output_policy:
            outlet.policy = AtBound(state.output_policy)
        self._turns.restore(state.turns, state.items)
        outlet.restore(state.acknowledged, map(output_of, state.sent), map(output_of, state.waiting))
        supply.losses.restored += state.restored
        supply.losses.missed += state.missed
        supply.restore(state.recovery, counts_otherwise=state.counts_otherwise, mutes=state.mutes)
