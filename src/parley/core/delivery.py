"""How the audio of turns comes to the legs that are at them, oldest turn first, and its end behind it."""

from parley.core.effects import Effect, EndTurn, LegPurpose
from parley.core.feed import Feed
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.losses import Losses
from parley.core.narration import Narration
from parley.core.parking import Parking
from parley.core.pauses import Pauses
from parley.core.profile import ModelProfile
from parley.core.rotation import Rotation
from parley.core.succession import Succession
from parley.core.turns import Turn, TurnQueue


class Delivery:
    """Moves held input to the model as far as the legs' state and the pace allow, and asks for a leg where there is
    none. Effects are appended to `out`.

    Whoever changes what it looks at, turns, legs or `feed`, calls `pump`.
    """

    __slots__ = (
        "_feed",
        "_frame_samples",
        "_legs",
        "_losses",
        "_narration",
        "_out",
        "_parking",
        "_pauses",
        "_rotation",
        "_succession",
        "_turns",
    )

    def __init__(
        self,
        profile: ModelProfile,
        turns: TurnQueue,
        feed: Feed,
        legs: Legs,
        losses: Losses,
        rotation: Rotation,
        succession: Succession,
        parking: Parking,
        pauses: Pauses,
        narration: Narration,
        out: list[Effect],
    ) -> None:
        self._frame_samples = profile.frame_samples
        self._turns = turns
        self._feed = feed
        self._legs = legs
        self._losses = losses
        self._rotation = rotation
        self._succession = succession
        self._parking = parking
        self._pauses = pauses
        self._narration = narration
        self._out = out

    def pump(self, now: float) -> None:
        """Move what can be moved; turns without audio are over at once."""
        while (turn := self._turns.head) is not None and (turn.started or turn.given_up):
            if turn.has_work:
                self._work(turn, now)
                break
            if not turn.closed:
                break
            self._turns.remove(turn)
            if not turn.given_up:
                # Answered here: vLLM answers alike, but releases before 0.17 died of it.
                self._narration.end_empty(turn)
        else:
            self._drop_unwanted()

    def _drop_unwanted(self) -> None:
        """Others may have the stream that is waited for when there is nothing left to do with it."""
        leg = self._legs.at_work
        if leg is not None and leg.is_queued and leg.purpose is not LegPurpose.NEW:
            self._legs.drop()

    def _work(self, turn: Turn, now: float) -> None:
        leg = self._legs.at_work
        if leg is None:
            if self._losses.recovery is None and not self._parking.holds(turn):
                self._parking.end()
                self._legs.open(now, LegPurpose.RETURN)
            return
        if leg.state is LegState.READY:
            if self._feed.is_full(turn):
                self._feed.make_room(turn, next_piece=turn.journal.next)
            self.begin(leg, turn, now)
        if leg.state is LegState.RUNNING:
            if not self._succession.holds_back(leg, turn):
                self._feed.advance(leg, turn, now)
            if turn.closed and leg.piece == turn.journal.next:
                leg.state = LegState.FLUSHING
                leg.progress_at = now
                self._out.append(EndTurn(leg.id))
                self._legs.drop_successor()
        successor = self._legs.successor
        if successor is not None and successor.state is LegState.RUNNING:
            self._feed.advance(successor, turn, now)
        if leg.is_at_work and self._feed.is_full(turn):
            self._make_room(leg, turn, now)

    def begin(self, leg: Leg, turn: Turn, now: float) -> None:
        """A leg that is connected takes a turn up."""
        said = self._feed.begin(leg, turn, now)
        if leg is self._legs.at_work:
            self._rotation.began((turn.fed - leg.base) // self._frame_samples)
        self._pauses.began(leg)
        recovery = self._losses.recovery
        if recovery is not None and leg is self._legs.at_work:
            leg.is_replaying = True
            recovery.began(leg.base, said)

    def _make_room(self, leg: Leg, turn: Turn, now: float) -> None:
        self._feed.make_room(turn, next_piece=leg.piece)
        successor = self._legs.successor
        if successor is not None and successor.is_at_work:
            if successor.piece < turn.journal.first:
                self._legs.drop_successor()
                self.pump(now)
        elif leg.rejoin is None:
            # What was said of audio that is gone stands as it is: nobody can say it again.
            turn.transcript.settle(turn.journal.start)
