"""Bugs put into the core on purpose: what a simulator is worth is what it finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from parley.core.effects import Effect
from parley.core.events import ClientEvent
from parley.core.journal import Journal
from parley.core.ledger import Ledger, Output
from parley.core.parking import Parking
from parley.core.rejoin import Rejoin
from parley.core.session import Session
from parley.core.supply import Supply
from parley.core.transcript import Transcript
from parley.core.turns import Turn
from parley.simulation.node import ClientConnection, ServerNode
from parley.wire import serving


@dataclass(frozen=True)
class Mutation:
    """A bug, and how many seeds it may take to find it: what was measured, and a margin of three or more."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    seeds_max: int

    def __repr__(self) -> str:
        return self.name


def _trims_too_much(patch: pytest.MonkeyPatch) -> None:
    acknowledge = Ledger.acknowledge
    patch.setattr(Ledger, "acknowledge", lambda self, seq: acknowledge(self, seq + 1))


def _never_trims(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "acknowledge", lambda _self, _seq: None)


def _skips_one_on_resume(patch: pytest.MonkeyPatch) -> None:
    after = Ledger.after

    def skip(self: Ledger, seq: int) -> list[Output]:
        return list(after(self, seq))[1:]

    patch.setattr(Ledger, "after", skip)


def _checks_no_generation(patch: pytest.MonkeyPatch) -> None:
    handle = Session.handle_client

    def careless(self: Session, event: ClientEvent, _generation: int, now: float) -> list[Effect]:
        return handle(self, event, self.generation, now)

    patch.setattr(Session, "handle_client", careless)


def _trims_the_journal_too_far(patch: pytest.MonkeyPatch) -> None:
    trim = Journal.trim

    def too_far(self: Journal, position: int) -> None:
        trim(self, position)
        if self.start < position and self.bytes:
            self.drop()

    patch.setattr(Journal, "trim", too_far)


def _expects_one_piece_less(patch: pytest.MonkeyPatch) -> None:
    recent: Any = Transcript.recent
    patch.setattr(Transcript, "recent", property(lambda self: recent.fget(self)[:-1]))


def _passes_on_what_was_said(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rejoin, "expect", lambda _self, _position, _text: None)


def _takes_any_token(patch: pytest.MonkeyPatch) -> None:
    resume = ServerNode.resume

    def confused(self: ServerNode, connection: ClientConnection, request: serving.Resume) -> object:
        others = [hosted for hosted in self.live if hosted.token and hosted.token != request.token]
        if others:
            request = serving.Resume(others[0].token, request.seq)
        return resume(self, connection, request)

    patch.setattr(ServerNode, "resume", confused)


def _leaves_its_legs_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supply, "close", lambda _self: None)


def _keeps_no_preroll(patch: pytest.MonkeyPatch) -> None:
    let_go: Any = Parking._let_go

    def all_of_it(self: Parking, turn: Turn, end: int) -> None:
        let_go(self, turn, end)
        self._turns.settle(turn, end)

    patch.setattr(Parking, "_let_go", all_of_it)


def _hears_no_speech(patch: pytest.MonkeyPatch) -> None:
    measured = Parking.measured
    patch.setattr(Parking, "measured", lambda self, leg, _speech_samples: measured(self, leg, 0))


def _never_returns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Parking, "holds", lambda self, turn: self.turn is turn)


MUTATIONS = [
    Mutation("the ledger drops an event that was not acknowledged", _trims_too_much, 10),
    Mutation("the ledger keeps what was acknowledged", _never_trims, 60),
    Mutation("a resume leaves out the first event", _skips_one_on_resume, 10),
    Mutation("events of a superseded attachment are taken", _checks_no_generation, 40),
    Mutation("the journal is trimmed a piece too far", _trims_the_journal_too_far, 20),
    Mutation("the last piece said is not expected again after a replay", _expects_one_piece_less, 10),
    Mutation("a replay is not compared with what was said", _passes_on_what_was_said, 10),
    Mutation("a token opens another session", _takes_any_token, 10),
    Mutation("an ended session leaves its legs open", _leaves_its_legs_open, 5),
    Mutation("a parked session keeps nothing of the silence before a word", _keeps_no_preroll, 20),
    Mutation("a parked session hears no speech", _hears_no_speech, 10),
    Mutation("a parked session never returns", _never_returns, 10),
]
